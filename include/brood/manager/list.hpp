// managed::list: a list in a manager.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <ranges>

#include "brood/manager/detail/proxy.hpp"

namespace brood::managed {

/// Every member is one request, and one step. Indices below zero count from the end: -1 is the last. An index that is not
/// there throws `remote_error`, `std::out_of_range`.
template <class T>
class list : public remote::proxy_of<list<T>> {
  using method = remote::list_method;

 public:
  using remote::proxy_of<list>::proxy_of;
  static std::uint64_t type() { return remote::type_key<T>(remote::kind::list); }

  auto at(std::int64_t index) const { return remote_call(about(method::at, index), remote::to_value<T>()); }
  template <remote::argument_for<T> A = T>
  auto set(std::int64_t index, A&& value) const {
    detail::require_safe_temporary<A>();
    remote::request what = about(method::set, index);
    what.value(remote::as<T>(value));
    return remote_call(std::move(what), remote::to_nothing());
  }
  template <remote::argument_for<T> A = T>
  auto append(A&& value) const {
    detail::require_safe_temporary<A>();
    remote::request what = about(method::append);
    what.value(remote::as<T>(value));
    return remote_call(std::move(what), remote::to_nothing());
  }
  template <std::ranges::sized_range Values>
  auto extend(Values&& values) const {
    detail::require_safe_temporary<Values>();
    return remote_call(with(method::extend, values), remote::to_nothing());
  }
  /// Replaces all there is.
  template <std::ranges::sized_range Values>
  auto assign(Values&& values) const {
    detail::require_safe_temporary<Values>();
    return remote_call(with(method::assign, values), remote::to_nothing());
  }
  /// Before the element at `index`; beyond the ends, at the end.
  template <remote::argument_for<T> A = T>
  auto insert(std::int64_t index, A&& value) const {
    detail::require_safe_temporary<A>();
    remote::request what = about(method::insert, index);
    what.value(remote::as<T>(value));
    return remote_call(std::move(what), remote::to_nothing());
  }
  auto erase(std::int64_t index) const {
    return remote_call(about(method::erase, index), remote::to_nothing());
  }
  auto pop(std::int64_t index = -1) const {
    return remote_call(about(method::pop, index), remote::to_value<T>());
  }
  auto size() const { return remote_call(about(method::size), remote::to_size()); }
  /// As they are at one moment: a copy.
  auto items() const { return remote_call(about(method::items), remote::to_values<T>()); }
  /// Those from `begin` up to but without `end`, as far as they are there.
  auto slice(std::int64_t begin, std::int64_t end = std::numeric_limits<std::int64_t>::max()) const {
    remote::request what = about(method::slice, begin);
    what.index(end);
    return remote_call(std::move(what), remote::to_values<T>());
  }
  auto clear() const { return remote_call(about(method::clear), remote::to_nothing()); }
  auto reverse() const { return remote_call(about(method::reverse), remote::to_nothing()); }
  /// Where the first one is whose encoding is equal; empty if nowhere.
  template <remote::argument_for<T> A = T>
  auto index(A&& value) const {
    detail::require_safe_temporary<A>();
    remote::request what = about(method::index);
    what.value(remote::as<T>(value));
    return remote_call(std::move(what), to_index());
  }

 private:
  struct to_index {
    std::optional<std::size_t> operator()(remote::answer_reader& from) const {
      const std::uint64_t found = from.count();
      return found == 0 ? std::nullopt : std::optional(static_cast<std::size_t>(found - 1));
    }
  };

  remote::request about(method which) const { return remote::request(this->object(), which); }
  remote::request about(method which, std::int64_t index) const {
    remote::request what(this->object(), which);
    what.index(index);
    return what;
  }
  template <class Values>
  remote::request with(method which, const Values& values) const {
    remote::request what(this->object(), which);
    what.count(std::ranges::size(values));
    for (const auto& value : values) what.template value<T>(value);
    return what;
  }
};

}  // namespace brood::managed
