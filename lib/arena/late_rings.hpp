// late_rings: the sleepers that could not be rung at once.
#pragma once

#include <cstdint>
#include <unordered_set>

#include "brood/arena/arena.hpp"
#include "brood/runtime/runtime.hpp"
#include "runtime/retry_timer.hpp"

namespace brood::detail {

/// Whom this process owes a datagram, as its socket was full and no descriptor was left for another. Their
/// wake is in shared memory already; what is owed ends their loop's sleep. A word of this process's slot says
/// that it owes any: if it is killed, or ends before it could pay, the clean-up after it rings all who have
/// a wake.
class late_rings final : public runtime_service {
 public:
  explicit late_rings(runtime& loop);
  task<> shut_down() override { co_return; }

  /// On the thread of a running loop: to be rung soon. Elsewhere: waits until it has been rung.
  static void owe(arena& memory, std::uint32_t slot) noexcept;

 private:
  void add(std::uint32_t slot);
  bool try_again() noexcept;

  arena& memory_;
  std::unordered_set<std::uint32_t> owed_;  // slots
  retry_timer retry_;
};

}  // namespace brood::detail
