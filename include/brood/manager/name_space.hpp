// managed::name_space: values of any types by names, in a manager.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "brood/coroutine/error.hpp"
#include "brood/manager/detail/proxy.hpp"
#include "brood/manager/detail/registry.hpp"

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
    remote::request what = about(method::set, name);
    what.value(remote::attribute<T>{T(std::forward<A>(value))});
    return remote_call(std::move(what), remote::to_nothing());
  }
  /// Throws `remote_error`, `std::out_of_range`, if there is none of that name; `decode_error` if it was set
  /// with another type.
  template <class T>
  auto get(std::string_view name) const {
    return remote_call(about(method::at, name), remote::to_attribute<T>());
  }
  /// Whether it was there.
  auto erase(std::string_view name) const {
    return remote_call(about(method::erase, name), remote::to_flag());
  }
  auto contains(std::string_view name) const {
    return remote_call(about(method::contains, name), remote::to_flag());
  }
  auto names() const {
    return remote_call(remote::request(object(), method::keys), remote::to_values<std::string>());
  }

 private:
  remote::request about(method which, std::string_view name) const {
    remote::request what(object(), which);
    what.value(std::string(name));
    return what;
  }
};

}  // namespace brood::managed
