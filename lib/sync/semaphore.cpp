// Permits. The states, and what a kill leaves at each step, are described in semaphore_core.hpp.
#include "brood/sync/semaphore.hpp"

#include <algorithm>

#include "brood/arena/detail/intent.hpp"

namespace brood {
namespace detail {
namespace {

constexpr std::uint64_t one_held = std::uint64_t{1} << 32;
constexpr std::uint64_t free_of(std::uint64_t permits) noexcept { return permits & 0xffffffff; }
constexpr std::uint64_t held_of(std::uint64_t permits) noexcept { return permits >> 32; }

void put_back(arena& memory, semaphore_state& s, word& cell, std::uint64_t difference) {
  section_guard g(memory.processes, s.guard);
  g.add(s.permits(), difference);
  g.set(cell, 0);
  g.commit();
}

void give_back_permit(arena& memory, word& cell) {
  const reference block = cell_reference(cell.load(std::memory_order_acquire));
  semaphore_state& s = memory.map.state_at<semaphore_state>(block);
  const intent named(memory, block);
  put_back(memory, s, cell, 1 - one_held);
  wake(memory, s.waiters, 1);
}

/// How many permits came is unknown, and whether anybody was woken: the first is, and wakes the next if there
/// is more.
void repair_semaphore(arena& memory, reference block) {
  semaphore_state& s = memory.map.state_at<semaphore_state>(block);
  {
    section_guard g(memory.processes, s.guard);
  }
  repair(memory, s.waiters);
  wake(memory, s.waiters, 1);
}

const object_kind semaphore_functions{nullptr, repair_semaphore, give_back_permit};
const bool registered = [] {
  register_object_kind(semaphore_kind, semaphore_functions);
  register_object_kind(bounded_semaphore_kind, semaphore_functions);
  return true;
}();

}  // namespace

bool semaphore_core::acquire(claim& taken, bool in_turn) {
  semaphore_state& s = state();
  arena& m = memory();
  m.processes.require_slot();
  if (free_of(s.permits().load(std::memory_order_relaxed)) == 0) return false;
  word& cell = m.heap.take_cell();
  const intent named(m, name().block);
  {
    section_guard g(m.processes, s.guard);
    if (free_of(g.get(s.permits())) != 0 && (in_turn || !must_queue(s.turns(), s.waiters))) {
      g.add(s.permits(), one_held - 1);
      g.set(cell, make_cell(held::custom, name().block));
      g.commit();
      count_turn(s.turns(), s.waiters, in_turn);
      taken.cell = &cell;
      return true;
    }
  }
  m.heap.return_cell(cell);
  return false;
}

void semaphore_core::release(claim& taken) {
  const intent named(memory(), name().block);
  put_back(memory(), state(), *taken.cell, 1 - one_held);
  wake_one();
  memory().heap.return_cell(*taken.cell);
}

void semaphore_core::detach(claim& taken) {
  const intent named(memory(), name().block);
  put_back(memory(), state(), *taken.cell, -one_held);
  memory().heap.return_cell(*taken.cell);
}

void semaphore_core::add(std::uint64_t count) {
  semaphore_state& s = state();
  memory().processes.require_slot();
  const intent named(memory(), name().block);
  {
    section_guard g(memory().processes, s.guard);
    const std::uint64_t permits = s.permits().load(std::memory_order_relaxed);
    if (count > s.bound - std::min(s.bound, free_of(permits) + held_of(permits))) {
      throw error("brood::semaphore::release: more permits than the semaphore may have");
    }
    s.permits().store(permits + count, std::memory_order_release);
  }
  if (count != 0) wake_one();
}

void semaphore_core::wake_one() {
  wake_barrier();
  if (needs_wake(state().waiters)) wake(memory(), state().waiters, 1);
}

void semaphore_core::passed_over() {
  section_guard g(memory().processes, state().guard);
  state().turns().store(most_turns, std::memory_order_relaxed);
}

void semaphore_core::nudge() {
  if (more() && needs_wake(state().waiters)) wake(memory(), state().waiters, 1);
}

std::uint64_t semaphore_core::value() const noexcept {
  return free_of(state().permits().load(std::memory_order_acquire));
}

}  // namespace detail

void permit::release() {
  if (!hold_.is_ours()) throw std::logic_error("brood::permit: released by somebody who does not hold it");
  hold_.core()->release(hold_.give_up());
}

void permit::detach() {
  if (!hold_.is_ours()) throw std::logic_error("brood::permit: detached by somebody who does not hold it");
  hold_.core()->detach(hold_.give_up());
}

}  // namespace brood
