// managed::value: one value in a manager.
#pragma once

#include "brood/manager/detail/proxy.hpp"
#include "brood/manager/detail/update_entry.hpp"

namespace brood::managed {

/// Every member is one request, and one step.
template <class T>
class value : public remote::proxy_of<value<T>> {
  using method = remote::value_method;

 public:
  using remote::proxy_of<value>::proxy_of;
  static std::uint64_t type() { return remote::type_key<T>(remote::kind::value); }

  auto get() const { return this->asked(remote::to_value<T>(), method::get); }
  template <remote::argument_for<T> A = T>
  auto set(A&& v) const {
    return this->template asked_with<T>(remote::to_nothing(), method::set, std::forward<A>(v));
  }
  /// Gives what it was.
  template <remote::argument_for<T> A = T>
  auto exchange(A&& v) const {
    return this->template asked_with<T>(remote::to_value<T>(), method::exchange, std::forward<A>(v));
  }
  /// Sets `desired` if the value's encoding is that of `expected`; gives whether it was.
  template <remote::argument_for<T> A = T, remote::argument_for<T> B = T>
  auto compare_exchange(A&& expected, B&& desired) const {
    return this->template asked_with<T, T>(remote::to_flag(), method::compare_exchange,
                                           std::forward<A>(expected), std::forward<B>(desired));
  }
  /// Gives what it was. Integers wrap around.
  auto fetch_add(T added) const
    requires std::is_arithmetic_v<T>
  {
    remote::request what(this->object(), method::fetch_add);
    what.count(static_cast<std::uint64_t>(remote::arithmetic_of<T>())).value(added);
    return remote_call(std::move(what), remote::to_value<T>());
  }
  /// `update<f>(arguments...)` runs `T f(T, arguments...)` or `void f(T&, arguments...)` in the server, in one step.
  /// Gives the new value.
  template <auto F, class... A>
  auto update(A&&... arguments) const {
    detail::require_safe_temporary<A...>();
    using entry = remote::update_entry<F>;
    static_assert(std::is_same_v<typename entry::value, T>, "the function's first parameter is the value");
    remote::request what(this->object(), method::apply);
    what.fixed(entry::name());
    entry::put_arguments(what, std::forward<A>(arguments)...);
    return remote_call(std::move(what), remote::to_value<T>());
  }
};

}  // namespace brood::managed
