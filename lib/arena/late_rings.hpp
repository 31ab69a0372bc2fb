// late_rings: the sleepers that could not be rung at once.
#pragma once

#include "brood/arena/detail/wakes.hpp"
#include "brood/runtime/runtime.hpp"
#include "runtime/retry_timer.hpp"

namespace brood::detail {

/// The datagrams this process owes since the system refused them. The wakes themselves are in shared memory already, so
/// there is no list: paying rings everybody who has one. A word of this process's slot says that it owes any; if it
/// ends before it has paid, the clean-up after it does.
class late_rings final : public runtime_service {
 public:
  explicit late_rings(runtime& loop);
  task<> shut_down() override { co_return; }

  /// On the thread of a running loop: to be paid by a timer, or, if no timer can be had, with the next datagram.
  /// Elsewhere: tries for about a second first.
  static void owe(wakes& all) noexcept;
  /// What no timer will pay.
  static void pay_leftover(wakes& all) noexcept;

 private:
  retry_timer retry_;
};

}  // namespace brood::detail
