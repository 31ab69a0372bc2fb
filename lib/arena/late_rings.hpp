// late_rings: the sleepers that could not be rung at once.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "brood/arena/arena.hpp"
#include "brood/runtime/runtime.hpp"
#include "runtime/retry_timer.hpp"

namespace brood::detail {

/// Whom this process owes a datagram, as its socket was full and no descriptor was left for another. Their
/// wake is in shared memory already; what is owed ends their loop's sleep. Each is named in a cell of this
/// process: if that is killed, or ends before it could pay, the clean-up after it rings.
class late_rings final : public runtime_service {
 public:
  explicit late_rings(runtime& loop);
  task<> shut_down() override { co_return; }

  /// On the thread of a running loop: to be rung soon. Elsewhere: waits until it has been rung.
  static void owe(arena& memory, std::uint32_t slot) noexcept;

 private:
  using debts =
      std::unordered_map<std::uint32_t, word*>;  // by slot: the cell that names it, null while there is none
  using debt = debts::value_type;

  void add(std::uint32_t slot);
  bool try_again() noexcept;
  void name_in_cell(debt& owed) noexcept;
  void clear_cell(debt& owed) noexcept;

  arena& memory_;
  debts owed_;
  retry_timer retry_;
};

}  // namespace brood::detail
