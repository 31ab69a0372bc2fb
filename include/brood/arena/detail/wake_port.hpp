// wake_port: how other processes end the sleep of this process's loop.
//
// Why no wake-up is lost. Sleeper: S1 sleeping = 1; S2 read `woken`; sleep only if it is 0. Waker: W1 set a bit in
// `woken`; W2 read `sleeping`; if 1, exchange it for 0, and whoever got the 1 sends a datagram. All four are seq_cst,
// so in their one order either S1 is before W2, and the waker sees the sleeper and sends, or W2 is before S1, so W1 is before
// S2, and the sleeper sees the bit and does not sleep. A datagram that comes early stays in the socket, whose
// readiness is a level, so the poll returns at once. A waker killed between exchange and send left the sleeper's
// name in its `intent_ring`; the clean-up after it sends again.
// tests/model/wait_list.pml checks this together with the wait list; without S2 it finds the lost wake-up.
#pragma once

#include <memory>

#include "brood/arena/arena.hpp"
#include "brood/arena/detail/idle_spin.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/export.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::detail {

/// The wake port of this process on one loop. At most one in a process: throws `std::logic_error` for a second loop.
class BROOD_API wake_port final : public runtime_service, public sleep_guard {
 public:
  explicit wake_port(runtime& loop);
  ~wake_port() override;
  task<> shut_down() override;

  void look() noexcept override;
  bool about_to_sleep() noexcept override;
  void woke_up() noexcept override;

  /// Datagrams that ended a sleep of this process so far.
  static std::uint64_t wakes() noexcept;

 private:
  void receive() noexcept;
  bool spin() noexcept;

  runtime& loop_;
  arena& memory_;
  unique_fd socket_;
  std::unique_ptr<fd_watch> watch_;
  idle_spin spin_;
  clock::time_point asleep_since_{};
};

}  // namespace brood::detail
