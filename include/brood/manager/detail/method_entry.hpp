// The methods of the user's classes in the registry.
#pragma once

#include <cstdint>
#include <memory>
#include <tuple>
#include <typeinfo>
#include <utility>

#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/manager/detail/class_entry.hpp"

namespace brood::remote {

template <class R>
class stream;

template <class M>
struct method_traits;
template <class R, class T, class... A>
struct method_traits<R (T::*)(A...)> {
  using returned = R;
  using arguments = std::tuple<std::remove_cvref_t<A>...>;
};
template <class R, class T, class... A>
struct method_traits<R (T::*)(A...) const> : method_traits<R (T::*)(A...)> {};
template <class R, class T, class... A>
struct method_traits<R (T::*)(A...) noexcept> : method_traits<R (T::*)(A...)> {};
template <class R, class T, class... A>
struct method_traits<R (T::*)(A...) const noexcept> : method_traits<R (T::*)(A...)> {};

template <class T>
struct task_result {
  using type = T;
  static constexpr bool is_task = false;
  static constexpr bool is_stream = false;
};
template <class T>
struct task_result<task<T>> {
  using type = T;
  static constexpr bool is_task = true;
  static constexpr bool is_stream = false;
};
template <class T>
struct task_result<generator<T>> {
  using type = T;
  static constexpr bool is_task = false;
  static constexpr bool is_stream = true;
};

template <class T, auto Method>
struct method_tag {};

template <class T, auto Method>
struct method_entry {
  using traits = method_traits<decltype(Method)>;
  using returned = typename traits::returned;
  using result = std::remove_cvref_t<typename task_result<returned>::type>;
  using arguments = typename traits::arguments;

  static bytes call(void* object, argument_reader& in) {
    arguments given = read_arguments(in, static_cast<arguments*>(nullptr));
    const auto invoke = [&](auto&... each) -> returned {
      return (static_cast<T*>(object)->*Method)(std::move(each)...);
    };
    bytes out;
    if constexpr (std::is_void_v<result>) {
      std::apply(invoke, given);
    } else {
      put_value<result>(out, in.home().get(), std::apply(invoke, given));
    }
    return out;
  }
  static bytes begin(void* object, argument_reader& in) {
    bytes out;
    stream<result>::begin(
        out, in, walk(static_cast<T*>(object), read_arguments(in, static_cast<arguments*>(nullptr))));
    return out;
  }
  static task<bytes> start(void* object, argument_reader& in) {
    return run(static_cast<T*>(object), read_arguments(in, static_cast<arguments*>(nullptr)), in.home());
  }

  template <class... A>
  static void put_arguments(request& what, A&&... given) {
    put_parameters(what, static_cast<arguments*>(nullptr), std::forward<A>(given)...);
  }
  static void fill(registration& r) noexcept {
    if constexpr (task_result<returned>::is_task) {
      r.start = &start;
    } else if constexpr (task_result<returned>::is_stream) {
      r.call = &begin;
    } else {
      r.call = &call;
    }
  }
  struct entry : registration {
    entry() noexcept
        : registration(what::method, hash_name(typeid(method_tag<T, Method>).name()),
                       &class_identity<T>::here) {
      fill(*this);
    }
  };
  static inline entry node;
  static inline std::uint64_t given_name = 0;
  static std::uint64_t name() noexcept { return given_name != 0 ? given_name : node.key; }

 private:
  static generator<result> walk(T* object, arguments given) {
    auto body = std::apply([&](auto&... each) { return (object->*Method)(std::move(each)...); }, given);
    for (;;) {
      auto value = co_await body.next();
      if (!value) co_return;
      co_yield moved{*value};
    }
  }
  /// The arguments live as long as the coroutine.
  static task<bytes> run(T* object, arguments given, std::shared_ptr<client> home) {
    auto body = std::apply([&](auto&... each) { return (object->*Method)(std::move(each)...); }, given);
    bytes out;
    if constexpr (std::is_void_v<result>) {
      co_await std::move(body);
    } else {
      const result value = co_await std::move(body);
      put_value<result>(out, home.get(), value);
    }
    co_return out;
  }
};

}  // namespace brood::remote
