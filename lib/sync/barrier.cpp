// Barriers. The states, and what a kill leaves at each step, are described in barrier_core.hpp.
#include "brood/sync/barrier.hpp"

#include <stdexcept>

#include "brood/arena/detail/intent.hpp"

namespace brood {
namespace detail {
namespace {

constexpr std::uint64_t arrived_mask = most_parties;
constexpr std::uint64_t broken_bit = std::uint64_t{1} << 23;
constexpr std::uint64_t one_phase = std::uint64_t{1} << 24;
constexpr unsigned epoch_shift = 44;

constexpr std::uint64_t arrived_of(std::uint64_t state) noexcept { return state & arrived_mask; }
constexpr std::uint64_t epoch_of(std::uint64_t state) noexcept { return state >> epoch_shift; }
constexpr std::uint64_t phase_of(std::uint64_t state) noexcept { return state >> 24 & 0xfffff; }
constexpr std::uint64_t next_phase(std::uint64_t state) noexcept {
  return epoch_of(state) << epoch_shift | ((phase_of(state) + 1) & 0xfffff) * one_phase;
}
constexpr std::uint64_t next_epoch(std::uint64_t state) noexcept {
  return (epoch_of(state) + 1) << epoch_shift;
}

/// Breaks it while `applies(state)`.
template <class Condition>
bool break_while(word& state, Condition applies) noexcept {
  std::uint64_t now = state.load(std::memory_order_acquire);
  while (applies(now)) {
    if ((now & broken_bit) != 0) return true;
    if (state.compare_exchange_weak(now, now | broken_bit, std::memory_order_seq_cst)) return true;
  }
  return false;
}

void give_back_membership(arena& memory, word& cell) {
  const std::uint64_t value = cell.load(std::memory_order_acquire);
  barrier_state& s = memory.map.state_at<barrier_state>(cell_reference(value));
  break_while(s.state, [&](std::uint64_t now) { return epoch_of(now) == cell_extra(value); });
  kill_point();
  wake(memory, s.waiters, UINT64_MAX);
}

/// A wake is an advice to look again, so it does not matter what the dead one had done.
void repair_barrier(arena& memory, reference block) {
  barrier_state& s = memory.map.state_at<barrier_state>(block);
  repair(memory, s.waiters);
  wake(memory, s.waiters, UINT64_MAX);
}

const object_kind barrier_functions{nullptr, repair_barrier, give_back_membership};
const bool registered = [] {
  register_object_kind(barrier_kind, barrier_functions);
  return true;
}();

}  // namespace

barrier_core::~barrier_core() {
  if (membership_ == nullptr || is_gone() || !family_memory::exists() || memory().processes.me() != member_)
    return;
  membership_->store(0, std::memory_order_release);
  memory().heap.return_cell(*membership_);
}

void barrier_core::enrol(std::uint64_t epoch) {
  arena& m = memory();
  if (membership_ == nullptr || member_ != m.processes.me()) {
    membership_ = &m.heap.take_cell();
    member_ = m.processes.me();
  }
  const std::uint64_t named = make_cell(held::custom, name().block, static_cast<std::uint32_t>(epoch));
  if (membership_->load(std::memory_order_relaxed) == named) return;
  membership_->store(named, std::memory_order_release);
  kill_point();
}

barrier_core::outcome barrier_core::arrive(arrival& mine) {
  barrier_state& s = state();
  memory().processes.require_slot();
  std::uint64_t now = s.state.load(std::memory_order_acquire);
  for (;;) {
    if ((now & broken_bit) != 0) return outcome::broken;
    if (arrived_of(now) >= s.parties) return outcome::full;
    enrol(epoch_of(now));
    if (s.state.compare_exchange_weak(now, now + 1, std::memory_order_seq_cst)) break;
  }
  kill_point();
  mine = {now + 1, arrived_of(now)};
  return arrived_of(now) + 1 == s.parties ? outcome::last : outcome::waits;
}

bool barrier_core::complete(const arrival& mine) {
  const intent named(memory(), name().block);
  std::uint64_t full = mine.state;  // nobody but one who breaks or resets it changes it now
  const bool done = state().state.compare_exchange_strong(full, next_phase(full), std::memory_order_seq_cst);
  kill_point();
  if (done) wake_all();
  return done;
}

barrier_core::outcome barrier_core::look(const arrival& mine) const noexcept {
  const std::uint64_t now = state().state.load(std::memory_order_acquire);
  if (epoch_of(now) != epoch_of(mine.state)) return outcome::broken;
  if (phase_of(now) != phase_of(mine.state)) return outcome::passed;
  return (now & broken_bit) != 0 ? outcome::broken : outcome::waits;
}

void barrier_core::give_up(const arrival& mine) {
  const intent named(memory(), name().block);
  const auto is_mine = [&](std::uint64_t now) {
    return epoch_of(now) == epoch_of(mine.state) && phase_of(now) == phase_of(mine.state);
  };
  if (break_while(state().state, is_mine)) wake_all();
}

void barrier_core::abort() {
  memory().processes.require_slot();
  const intent named(memory(), name().block);
  break_while(state().state, [](std::uint64_t) { return true; });
  wake_all();
}

void barrier_core::reset() {
  memory().processes.require_slot();
  const intent named(memory(), name().block);
  std::uint64_t now = state().state.load(std::memory_order_acquire);
  while (!state().state.compare_exchange_weak(now, next_epoch(now), std::memory_order_seq_cst)) {
  }
  wake_all();
}

void barrier_core::wake_all() {
  kill_point();
  if (has_waiters(state().waiters)) wake(memory(), state().waiters, UINT64_MAX);
}

bool barrier_core::is_broken() const noexcept {
  return (state().state.load(std::memory_order_acquire) & broken_bit) != 0;
}

std::uint64_t barrier_core::arrived() const noexcept {
  const std::uint64_t now = state().state.load(std::memory_order_acquire);
  return (now & broken_bit) != 0 ? 0 : arrived_of(now);
}

}  // namespace detail

barrier::barrier(std::uint64_t participants) : participants_(participants) {
  if (participants == 0 || participants > detail::most_parties) {
    throw std::invalid_argument("brood::barrier: the number of participants is 1 to 2^23 - 1");
  }
}

std::shared_ptr<detail::barrier_core> barrier::make() const {
  if (participants_ == 0) throw std::logic_error("brood::barrier: this handle names no barrier");
  return detail::create_primitive<detail::barrier_core>(
      family_memory::get(), [this](detail::barrier_state& s) { s.parties = participants_; });
}

}  // namespace brood
