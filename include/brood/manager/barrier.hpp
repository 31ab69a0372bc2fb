// managed::barrier: processes wait in a manager for each other.
#pragma once

#include "brood/manager/detail/proxy.hpp"

namespace brood::managed {

/// One that dies, loses its connection or is cancelled while it waits breaks the barrier for all.
class barrier : public remote::proxy_of<barrier> {
  using method = remote::barrier_method;

 public:
  using proxy_of::proxy_of;
  static std::uint64_t type() { return remote::type_key<>(remote::kind::barrier); }

  /// Waits until all are there; gives a number from 0 on, to each another. Throws `remote_error`, of type
  /// "brood::broken_barrier", if the barrier is broken.
  auto arrive() const { return asked(remote::to_size(), method::arrive); }
  /// As new. Those who wait get the error.
  auto reset() const { return asked(remote::to_nothing(), method::reset); }
  /// Breaks it.
  auto abort() const { return asked(remote::to_nothing(), method::abort); }
  auto broken() const { return asked(remote::to_flag(), method::broken); }
  /// How many wait.
  auto waiting() const { return asked(remote::to_size(), method::waiting); }
};

}  // namespace brood::managed
