// managed::name_space: values of any types by names, in a manager.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "brood/coroutine/error.hpp"
#include "brood/manager/detail/proxy.hpp"
#include "brood/manager/detail/update_entry.hpp"

namespace brood::remote {

/// A value with the name of its type in front.
template <class T>
struct attribute {
  T value;

  template <class Archive>
  void save(Archive& archive) const {
    archive(type_key<T>(kind::value), value);
  }
  template <class Archive>
  void load(Archive& archive) {
    std::uint64_t type = 0;
    archive(type);
    if (type != type_key<T>(kind::value))
      throw decode_error("an attribute of another type than it was set with");
    archive(value);
  }
};

/// Reads an attribute of this type out of an answer.
template <class T>
struct to_attribute {
  T operator()(answer_reader& from) const { return std::move(from.value<attribute<T>>().value); }
};

}  // namespace brood::remote

namespace brood::managed {

/// Python's `Namespace`: `co_await n.set("limit", 5)`, `co_await n.get<int>("limit")`. Every member is one
/// request, and one step.
class name_space : public remote::proxy_of<name_space> {
  using method = remote::dict_method;

 public:
  using proxy_of::proxy_of;
  static std::uint64_t type() { return remote::type_key<name_space>(remote::kind::dict); }

  /// A text is kept as a `std::string`.
  template <class A>
  auto set(std::string_view name, A&& value) const {
    detail::require_safe_temporary<A>();
    using T = remote::traveller<A>;
    const remote::attribute<T> kept{T(std::forward<A>(value))};
    return asked(remote::to_nothing(), method::set, std::string(name), kept);
  }
  /// Throws `remote_error`, `std::out_of_range`, if there is none of that name; `decode_error` if it was set
  /// with another type.
  template <class T>
  auto get(std::string_view name) const {
    return asked(remote::to_attribute<T>(), method::at, std::string(name));
  }
  /// Whether it was there.
  auto erase(std::string_view name) const {
    return asked(remote::to_flag(), method::erase, std::string(name));
  }
  auto contains(std::string_view name) const {
    return asked(remote::to_flag(), method::contains, std::string(name));
  }
  auto names() const { return asked(remote::to_values<std::string>(), method::keys); }
};

}  // namespace brood::managed
