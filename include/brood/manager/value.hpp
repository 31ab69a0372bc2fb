// managed::value: one value in a manager.
#pragma once

#include "brood/manager/detail/proxy.hpp"
#include "brood/manager/detail/registry.hpp"

namespace brood::managed {

/// Every member is one request, and one step.
template <class T>
class value : public remote::proxy_of<value<T>> {
  using method = remote::value_method;

 public:
  using remote::proxy_of<value>::proxy_of;
  static std::uint64_t type() { return remote::type_key<T>(remote::kind::value); }

  auto get() const { return asked<remote::to_value<T>>(method::get); }
  auto set(const T& v) const { return asked<remote::to_nothing>(method::set, v); }
  /// Gives what it was.
  auto exchange(const T& v) const { return asked<remote::to_value<T>>(method::exchange, v); }
  /// Sets `desired` if the value's encoding is that of `expected`; gives whether it was.
  auto compare_exchange(const T& expected, const T& desired) const {
    return asked<remote::to_flag>(method::compare_exchange, expected, desired);
  }
  /// Gives what it was. Integers wrap around.
  auto fetch_add(T added) const
    requires std::is_arithmetic_v<T>
  {
    remote::request what(this->object(), method::fetch_add);
    what.count(static_cast<std::uint64_t>(remote::arithmetic_of<T>())).value(added);
    return remote_call(std::move(what), remote::to_value<T>());
  }
  /// `update<f>(arguments...)` runs `T f(T, arguments...)` or `void f(T&, arguments...)` in the server, in
  /// one step. Gives the new value.
  template <auto F, class... A>
  auto update(const A&... arguments) const {
    using entry = remote::update_entry<F>;
    static_assert(std::is_same_v<typename entry::value, T>, "the function's first parameter is the value");
    remote::request what(this->object(), method::apply);
    what.fixed(entry::name());
    entry::put_arguments(what, arguments...);
    return remote_call(std::move(what), remote::to_value<T>());
  }

 private:
  template <class Finish, class... A>
  remote_call<Finish> asked(method which, const A&... arguments) const {
    remote::request what(this->object(), which);
    (what.value(arguments), ...);
    return remote_call(std::move(what), Finish());
  }
};

}  // namespace brood::managed
