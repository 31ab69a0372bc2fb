// managed::set: a set in a manager.
#pragma once

#include <ranges>

#include "brood/manager/dict.hpp"

namespace brood::managed {

/// Every member is one request, and one step. Elements are equal where their encodings are, and stay in the order in which
/// they came.
template <class T>
class set : public remote::proxy_of<set<T>> {
  static_assert(remote::has_equal_bytes<T>,
                "brood: a value with padding between its members: equal ones might differ");
  using method = remote::set_method;

 public:
  using remote::proxy_of<set>::proxy_of;
  static std::uint64_t type() { return remote::type_key<T>(remote::kind::set); }

  /// Whether it was not there.
  template <remote::argument_for<T> A = T>
  auto add(A&& value) const {
    return this->template asked_with<T>(remote::to_flag(), method::add, std::forward<A>(value));
  }
  template <std::ranges::sized_range Values>
  auto update(Values&& values) const {
    detail::require_safe_temporary<Values>();
    remote::request what(this->object(), method::update);
    what.count(std::ranges::size(values));
    for (const auto& value : values) what.template value<T>(value);
    return remote_call(std::move(what), remote::to_nothing());
  }
  /// Whether it was there.
  template <remote::argument_for<T> A = T>
  auto erase(A&& value) const {
    return this->template asked_with<T>(remote::to_flag(), method::erase, std::forward<A>(value));
  }
  template <remote::argument_for<T> A = T>
  auto contains(A&& value) const {
    return this->template asked_with<T>(remote::to_flag(), method::contains, std::forward<A>(value));
  }
  /// Takes the first out. Throws `remote_error`, `std::out_of_range`, if there is none.
  auto pop() const { return this->asked(remote::to_value<T>(), method::pop_any); }
  auto size() const { return this->asked(remote::to_size(), method::size); }
  /// As they are at one moment: a copy.
  auto items() const { return this->asked(remote::to_values<T>(), method::items); }
  /// One after the other. Once some have come or gone, the next one throws `remote_error`,
  /// `std::runtime_error`. With `at_a_time` they come in groups of so many.
  generator<T> each(std::size_t at_a_time = 1) const {
    return remote::walk<T, T, remote::to_values<T>>(
        this->object(), method::walk, at_a_time, +[](const T& value) -> const T& { return value; });
  }
  auto clear() const { return this->asked(remote::to_nothing(), method::clear); }
};

}  // namespace brood::managed
