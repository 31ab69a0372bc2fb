// The process table: slots, what each process holds and waits for. See waking.cpp for how one ends another's
// sleep, and death.cpp for the clean-up after a dead one.
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "arena/slot_words.hpp"
#include "brood/arena/arena.hpp"
#include "brood/coroutine/detail/forked.hpp"
#include "system/pidfd.hpp"

namespace brood {

using detail::generation_in;
using detail::held;
using detail::make_owner;
using detail::make_pid;
using detail::make_state;
using detail::process_slot;
using detail::reference;
using detail::section_guard;
using detail::slot_state;
using detail::state_of;
using detail::wait_entry;
using detail::wait_index;
using detail::word;

process_slot& arena::slot_at(std::uint32_t slot) const noexcept {
  return reinterpret_cast<process_slot*>(base_ + header().process_table)[slot];
}

void arena::require_slot() {
  if (to_adopt_) adopt_slot(std::exchange(to_adopt_, {}));
  if (my_slot_ == nullptr) {
    if (detail::forked) throw forked_process();
    throw std::logic_error(
        "brood: this process has no place in the family's memory; call brood::init first thing in main");
  }
}

bool arena::is_dead(std::uint64_t owner) noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  if (slot == 0 || slot >= header().slots) return true;
  process_slot& s = slot_at(slot);
  const std::uint64_t state = s.state.load(std::memory_order_acquire);
  if (make_owner(state, slot) != owner || state_of(state) != slot_state::live) return true;
  return owner != me_ && sys::is_gone(detail::pid_in(s.pid.load(std::memory_order_relaxed)));
}

// ---- birth ----

process_id arena::reserve_slot() {
  auto& h = header();
  // Only the first process of a family has no slot yet, and so nobody to clean up after it.
  if (h.slots_cut.load() == 1) {
    h.slots_cut.store(2);
    process_slot& first = slot_at(1);
    first.pid.store(make_pid(1, 0), std::memory_order_relaxed);
    first.state.store(make_state(1, slot_state::reserved), std::memory_order_release);
    return {1, 1};
  }
  require_slot();
  prepare_to_ring();
  section_guard g(*this, h.heap_section);
  auto slot = static_cast<std::uint32_t>(g.get(h.free_slots));
  if (slot != 0) {
    g.set(h.free_slots, slot_at(slot).next_free.load(std::memory_order_relaxed));
  } else {
    slot = static_cast<std::uint32_t>(g.get(h.slots_cut));
    if (slot >= h.slots) {
      throw arena_full("the table of processes is full; give brood::options a larger arena");
    }
    g.set(h.slots_cut, slot + 1);
  }
  process_slot& s = slot_at(slot);
  const std::uint32_t generation = generation_in(s.state.load(std::memory_order_relaxed)) + 1;
  g.set(s.pid, make_pid(generation, 0));
  g.set(s.state, make_state(generation, slot_state::reserved));
  add_to_family(g, slot, my_slot_->children);
  g.commit();
  return {slot, generation};
}

void arena::adopt_slot(process_id id) {
  if (id.slot == 0 || id.slot >= header().slots)
    throw std::logic_error("brood: no such slot in the family's memory");
  process_slot& s = slot_at(id.slot);
  std::uint64_t reserved = make_state(id.generation, slot_state::reserved);
  // The pid first: a process that is live can be asked whether it still is.
  if (!note_pid(id, ::getpid()) ||
      !s.state.compare_exchange_strong(reserved, make_state(id.generation, slot_state::live),
                                       std::memory_order_acq_rel)) {
    throw std::logic_error("brood: this slot of the family's memory was not reserved for this process");
  }
  me_ = id.word();
  my_slot_ = &s;
  reset_local();
}

int arena::pid_of(process_id id) const noexcept {
  if (id.slot == 0 || id.slot >= header().slots) return 0;
  const std::uint64_t known = slot_at(id.slot).pid.load(std::memory_order_acquire);
  return generation_in(known) == id.generation ? detail::pid_in(known) : 0;
}

/// By the fork server that is about to make the process, by the process itself and by its parent. Whoever comes too
/// late, when the slot was taken back or given out anew, changes nothing.
bool arena::note_pid(process_id id, int pid) noexcept {
  word& known = slot_at(id.slot).pid;
  std::uint64_t now = known.load(std::memory_order_acquire);
  while (generation_in(now) == id.generation) {
    if (known.compare_exchange_weak(now, make_pid(id.generation, pid), std::memory_order_acq_rel))
      return true;
  }
  return false;
}

void arena::forget_slot() noexcept {
  me_ = 0;
  my_slot_ = nullptr;
  dying_ = nullptr;
  user_ = nullptr;
  to_adopt_ = {};
}

void arena::disown() noexcept {
  forget_slot();
  doorbell_.forget();
}

void arena::reset_local() {
  free_cells_.clear();
  free_waits_.clear();
  waits_total_ = 0;
  waiters_.clear();
  cell_chunks_ = wait_chunks_ = 1;
  for (unsigned i = detail::inline_cells; i-- > 0;) free_cells_.push_back(&my_slot_->cells[i]);
  for (unsigned i = detail::inline_waits; i-- > 0;) {
    wait_entry& entry = my_slot_->waits[i];
    entry.owner.store(me_, std::memory_order_relaxed);
    entry.home.store(i, std::memory_order_relaxed);
    free_waits_.push_back(to_reference(entry));
    ++waits_total_;
  }
  doorbell_.close();
  rings_sent = 0;
}

// ---- cells ----

word& arena::cell_at(process_slot& s, unsigned chunk, std::uint32_t index) const noexcept {
  if (chunk == 0) return s.cells[index];
  const auto block = static_cast<reference>(s.cell_chunks[chunk].load(std::memory_order_acquire));
  return reinterpret_cast<word*>(base_ + std::uint64_t{block} * detail::granule +
                                 sizeof(detail::block_header))[index];
}

void arena::add_cell_chunk() {
  if (cell_chunks_ == detail::chunk_count) throw arena_full("this process holds too many shared objects");
  const unsigned chunk = cell_chunks_;
  const std::uint32_t count = detail::cells_in_chunk(chunk);
  allocate(count * sizeof(word), detail::chunk_block, my_slot_->cell_chunks[chunk], held::block, true);
  ++cell_chunks_;
  for (std::uint32_t i = count; i-- > 0;) free_cells_.push_back(&cell_at(*my_slot_, chunk, i));
}

word& arena::take_cell() {
  require_slot();
  if (free_cells_.empty()) add_cell_chunk();
  word* cell = free_cells_.back();
  free_cells_.pop_back();
  return *cell;
}

void arena::return_cell(word& cell) noexcept {
  if (me_ != 0) free_cells_.push_back(&cell);
}

// ---- the family ----

bool arena::is_my_child(process_id id) const noexcept {
  if (my_slot_ == nullptr || id.slot == 0 || id.slot >= header().slots) return false;
  const process_slot& s = slot_at(id.slot);
  return generation_in(s.state.load(std::memory_order_acquire)) == id.generation &&
         s.parent.load(std::memory_order_acquire) == me_;
}

void arena::add_to_family(section_guard& g, std::uint32_t slot, word& list) {
  process_slot& s = slot_at(slot);
  const std::uint64_t first = g.get(list);
  g.set(s.parent, me_);
  g.set(s.next_sibling, first);
  g.set(s.previous_sibling, 0);
  if (first != 0) g.set(slot_at(static_cast<std::uint32_t>(first)).previous_sibling, slot);
  g.set(list, slot);
}

/// Out of whichever list of its parent's it is in.
void arena::leave_family(section_guard& g, std::uint32_t slot, process_slot& parent) {
  process_slot& s = slot_at(slot);
  const std::uint64_t next = g.get(s.next_sibling);
  const std::uint64_t previous = g.get(s.previous_sibling);
  word& first = g.get(parent.children) == slot ? parent.children : parent.orphans;
  g.set(previous != 0 ? slot_at(static_cast<std::uint32_t>(previous)).next_sibling : first, next);
  if (next != 0) g.set(slot_at(static_cast<std::uint32_t>(next)).previous_sibling, previous);
}

/// Where no pid is known yet nobody can enter one from now on: that process is not made any more, or finds, if its
/// fork server has just made it, that it has no place.
std::optional<orphan> arena::next_orphan() noexcept {
  const auto slot = my_slot_ == nullptr ? 0 : static_cast<std::uint32_t>(my_slot_->orphans.load());
  if (slot == 0) return std::nullopt;
  process_slot& s = slot_at(slot);
  const std::uint64_t state = s.state.load(std::memory_order_acquire);
  const std::uint32_t generation = generation_in(state);
  std::uint64_t pid = make_pid(generation, 0);
  s.pid.compare_exchange_strong(pid, make_pid(generation + 1, 0), std::memory_order_acq_rel);
  const bool known = generation_in(pid) == generation;
  return orphan{{slot, generation}, known ? detail::pid_in(pid) : 0, state_of(state) == slot_state::dead};
}

void arena::watch_orphan(process_id id) noexcept {
  if (!is_my_child(id)) return;
  section_guard g(*this, header().heap_section);
  leave_family(g, id.slot, *my_slot_);
  add_to_family(g, id.slot, my_slot_->children);
  g.commit();
}

// ---- wait entries ----

void arena::add_wait_chunk() {
  if (wait_chunks_ == detail::chunk_count) throw arena_full("too many coroutines of this process wait");
  const unsigned chunk = wait_chunks_;
  const std::uint32_t count = detail::waits_in_chunk(chunk);
  const std::uint64_t bitmap_bytes = detail::bitmap_words(chunk) * sizeof(word);
  const reference block = allocate(bitmap_bytes + count * sizeof(wait_entry), detail::chunk_block,
                                   my_slot_->wait_chunks[chunk], held::block, true);
  ++wait_chunks_;
  const auto first = static_cast<reference>(block + 1 + bitmap_bytes / detail::granule);
  for (std::uint32_t i = count; i-- > 0;) {
    auto& entry = at<wait_entry>(first + i);
    entry.owner.store(me_, std::memory_order_relaxed);
    entry.home.store(std::uint64_t{chunk} << 24 | i, std::memory_order_relaxed);
    free_waits_.push_back(first + i);
    ++waits_total_;
  }
}

wait_entry& arena::take_wait_entry(detail::waiter& who) {
  require_slot();
  if (free_waits_.empty()) add_wait_chunk();
  auto& entry = at<wait_entry>(free_waits_.back());
  free_waits_.pop_back();
  const std::size_t index = wait_index(entry.home.load(std::memory_order_relaxed));
  if (index >= waiters_.size()) waiters_.resize(index + 1);
  waiters_[index] = &who;
  return entry;
}

void arena::return_wait_entry(wait_entry& entry) noexcept {
  if (me_ == 0) return;
  waiters_[wait_index(entry.home.load(std::memory_order_relaxed))] = nullptr;
  free_waits_.push_back(to_reference(entry));
}

}  // namespace brood
