// The lock on its word. The states, and what a kill leaves at each step, are described in the header.
#include "brood/sync/detail/lock_core.hpp"

#include "brood/arena/detail/intent.hpp"
#include "brood/sync/detail/acquire.hpp"

namespace brood::detail {
namespace {

constexpr std::uint64_t was_abandoned = std::uint64_t{1} << 31;

constexpr bool is_free(std::uint64_t owner) noexcept { return owner == 0 || owner == was_abandoned; }

/// The id of the dead process whose cell this is; its slot is not used again before the clean-up ends.
std::uint64_t owner_of(arena& memory, std::uint64_t cell) noexcept {
  const std::uint32_t slot = cell_extra(cell);
  if (slot == 0 || slot >= memory.map.header().slots) return 0;
  return (memory.map.slot_at(slot).state.load(std::memory_order_acquire) & 0xffffffff00000000) | slot;
}

void give_back_lock(arena& memory, word& cell) {
  const std::uint64_t value = cell.load(std::memory_order_acquire);
  lock_state& s = memory.map.state_at<lock_state>(cell_reference(value));
  std::uint64_t owner = owner_of(memory, value);
  if (owner != 0) s.owner.compare_exchange_strong(owner, was_abandoned, std::memory_order_seq_cst);
  kill_point();
  // Also if it had released the lock: it may have died before the wake.
  wake(memory, s.waiters, 1);
}

const object_kind lock_functions{nullptr, nullptr, give_back_lock};
const bool registered = [] {
  register_object_kind(lock_kind, lock_functions);
  register_object_kind(rlock_kind, lock_functions);
  return true;
}();

}  // namespace

bool lock_core::acquire(claim& taken, bool in_turn) {
  lock_state& s = state();
  arena& m = memory();
  m.processes.require_slot();
  std::uint64_t owner = s.owner.load(std::memory_order_relaxed);
  if (!is_free(owner)) return false;
  if (!in_turn && must_queue(s.turns, s.waiters)) return false;
  word& cell = m.heap.take_cell();
  cell.store(make_cell(held::custom, name().block, m.processes.self().slot), std::memory_order_release);
  kill_point();
  if (!s.owner.compare_exchange_strong(owner, m.processes.me(), std::memory_order_acquire)) {
    cell.store(0, std::memory_order_release);
    m.heap.return_cell(cell);
    return false;
  }
  kill_point();
  count_turn(s.turns, s.waiters, in_turn);
  taken = {&cell, owner == was_abandoned};
  return true;
}

void lock_core::release(claim& taken) noexcept {
  lock_state& s = state();
  kill_point();
  s.owner.exchange(0, std::memory_order_seq_cst);
  kill_point();
  wake_barrier();
  if (needs_wake(s.waiters)) wake(memory(), s.waiters, 1);
  kill_point();
  taken.cell->store(0, std::memory_order_release);
  memory().heap.return_cell(*taken.cell);
}

void lock_core::passed_over() noexcept { state().turns.store(most_turns, std::memory_order_relaxed); }

void lock_core::nudge() {
  lock_state& s = state();
  if (!is_held() && needs_wake(s.waiters)) wake(memory(), s.waiters, 1);
}

bool lock_core::is_held() const noexcept { return !is_free(state().owner.load(std::memory_order_acquire)); }

bool rlock_core::acquire(claim& taken, bool in_turn) {
  memory().processes.require_slot();
  if (depth_ == 0 || owner_ != memory().processes.me()) {
    if (!lock_core::acquire(held_, in_turn)) return false;
    owner_ = memory().processes.me();
    depth_ = 0;
  }
  ++depth_;
  taken.abandoned = held_.abandoned;
  return true;
}

void rlock_core::release(claim&) noexcept {
  if (--depth_ == 0) lock_core::release(held_);
}

}  // namespace brood::detail
