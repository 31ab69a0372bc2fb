// managed::event: a flag in a manager that can be waited for.
#pragma once

#include "brood/manager/detail/proxy.hpp"

namespace brood::managed {

/// A flag that is set or not. `m.event()` makes one.
class event : public remote::proxy_of<event> {
  using method = remote::event_method;

 public:
  using proxy_of::proxy_of;
  static std::uint64_t type() { return remote::type_key<>(remote::kind::event); }

  /// Waits until it is set.
  auto wait() const { return asked(remote::to_nothing(), method::wait); }
  /// Lets all go on that wait, and all that come until `clear`.
  auto set() const { return asked(remote::to_nothing(), method::set); }
  auto clear() const { return asked(remote::to_nothing(), method::clear); }
  auto is_set() const { return asked(remote::to_flag(), method::is_set); }
};

}  // namespace brood::managed
