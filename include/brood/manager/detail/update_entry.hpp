// The functions of the user's in the registry, for `update<f>`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "brood/manager/detail/registry.hpp"

namespace brood::remote {

template <auto F>
struct function_tag {};

template <class F>
struct update_traits;
template <class R, class V, class... A>
struct update_traits<R (*)(V, A...)> {
  using returned = R;
  using value = std::remove_cvref_t<V>;
  using arguments = std::tuple<std::remove_cvref_t<A>...>;
};
template <class R, class V, class... A>
struct update_traits<R (*)(V, A...) noexcept> : update_traits<R (*)(V, A...)> {};

/// A function `V f(V, arguments...)` or `void f(V&, arguments...)` that the server applies to a value.
template <auto F>
struct update_entry {
  using traits = update_traits<std::decay_t<decltype(F)>>;
  using value = typename traits::value;
  using arguments = typename traits::arguments;

  static bytes update(const std::string* present, argument_reader& in) {
    arguments given = read_arguments(in, static_cast<arguments*>(nullptr));
    const home_scope scope(in.home().get());
    value now = present != nullptr ? decode<value>(std::as_bytes(std::span(*present))) : value();
    bytes out;
    std::apply(
        [&](auto&... each) {
          if constexpr (std::is_void_v<typename traits::returned>) {
            F(now, std::move(each)...);
          } else {
            now = F(std::move(now), std::move(each)...);
          }
        },
        given);
    put_value(out, in.home().get(), now);
    return out;
  }
  template <class... A>
  static void put_arguments(request& what, A&&... given) {
    put_parameters(what, static_cast<arguments*>(nullptr), std::forward<A>(given)...);
  }
  static void fill(registration& r) noexcept { r.update = &update; }
  struct entry : registration {
    entry() noexcept : registration(what::function, hash_name(typeid(function_tag<F>).name()), nullptr) {
      fill(*this);
    }
  };
  static inline entry node;
  static inline std::uint64_t given_name = 0;
  static std::uint64_t name() noexcept { return given_name != 0 ? given_name : node.key; }
};

}  // namespace brood::remote
