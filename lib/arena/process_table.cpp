// The process table: who has which slot, and whose child it is. The clean-up after a dead one is in death.cpp.
#include "brood/arena/detail/process_table.hpp"

#include <unistd.h>

#include <stdexcept>
#include <utility>

#include "arena/slot_words.hpp"
#include "brood/arena/arena_full.hpp"
#include "brood/coroutine/detail/forked.hpp"
#include "system/pidfd.hpp"

namespace brood::detail {

void process_table::require_slot() {
  if (to_adopt_) adopt_slot(std::exchange(to_adopt_, {}));
  if (my_slot_ == nullptr) {
    if (forked) throw forked_process();
    throw std::logic_error(
        "brood: this process has no place in the family's memory; call brood::init first thing in main");
  }
}

bool process_table::is_dead(std::uint64_t owner) const noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  if (slot == 0 || slot >= map_.header().slots) return true;
  process_slot& s = map_.slot_at(slot);
  const std::uint64_t state = s.state.load(std::memory_order_acquire);
  if (make_owner(state, slot) != owner || state_of(state) != slot_state::live) return true;
  return owner != me_ && sys::is_gone(pid_in(s.pid.load(std::memory_order_relaxed)));
}

// ---- birth ----

void process_table::found_family() noexcept {
  constexpr process_id first{1, 1};
  process_slot& s = map_.slot_at(first.slot);
  map_.header().slots_cut.store(first.slot + 1, std::memory_order_relaxed);  // slot 0 means none
  s.pid.store(make_pid(first.generation, ::getpid()), std::memory_order_relaxed);
  s.state.store(make_state(first.generation, slot_state::live), std::memory_order_release);
  me_ = first.word();
  my_slot_ = &s;
}

process_id process_table::reserve_slot() {
  auto& h = map_.header();
  require_slot();
  section_guard g(*this, h.heap_section);
  auto slot = static_cast<std::uint32_t>(g.get(h.free_slots));
  if (slot != 0) {
    g.set(h.free_slots, map_.slot_at(slot).next_free.load(std::memory_order_relaxed));
  } else {
    slot = static_cast<std::uint32_t>(g.get(h.slots_cut));
    if (slot >= first_caretaker()) {
      throw arena_full("the table of processes is full; give brood::options a larger arena");
    }
    g.set(h.slots_cut, slot + 1);
  }
  process_slot& s = map_.slot_at(slot);
  const std::uint32_t generation = generation_in(s.state.load(std::memory_order_relaxed)) + 1;
  g.set(s.pid, make_pid(generation, 0));
  g.set(s.state, make_state(generation, slot_state::reserved));
  add_to_family(g, slot, my_slot_->children);
  g.commit();
  return {slot, generation};
}

void process_table::adopt_slot(process_id id) {
  if (id.slot == 0 || id.slot >= map_.header().slots)
    throw std::logic_error("brood: no such slot in the family's memory");
  process_slot& s = map_.slot_at(id.slot);
  std::uint64_t reserved = make_state(id.generation, slot_state::reserved);
  // The pid first: a process that is live can be asked whether it still is.
  if (!note_pid(id, ::getpid()) ||
      !s.state.compare_exchange_strong(reserved, make_state(id.generation, slot_state::live),
                                       std::memory_order_acq_rel)) {
    throw std::logic_error("brood: this slot of the family's memory was not reserved for this process");
  }
  me_ = id.word();
  my_slot_ = &s;
}

int process_table::pid_of(process_id id) const noexcept {
  if (id.slot == 0 || id.slot >= map_.header().slots) return 0;
  const std::uint64_t known = map_.slot_at(id.slot).pid.load(std::memory_order_acquire);
  return generation_in(known) == id.generation ? pid_in(known) : 0;
}

/// By the fork server that is about to make the process, by the process itself and by its parent. Whoever comes too
/// late, when the slot was taken back or given out anew, changes nothing.
bool process_table::note_pid(process_id id, int pid) noexcept {
  word& known = map_.slot_at(id.slot).pid;
  std::uint64_t now = known.load(std::memory_order_acquire);
  while (generation_in(now) == id.generation) {
    if (known.compare_exchange_weak(now, make_pid(id.generation, pid), std::memory_order_acq_rel))
      return true;
  }
  return false;
}

void process_table::forget_slot() noexcept {
  me_ = 0;
  my_slot_ = nullptr;
  to_adopt_ = {};
}

// ---- the family ----

bool process_table::is_my_child(process_id id) const noexcept {
  if (my_slot_ == nullptr || id.slot == 0 || id.slot >= map_.header().slots) return false;
  const process_slot& s = map_.slot_at(id.slot);
  return generation_in(s.state.load(std::memory_order_acquire)) == id.generation &&
         s.parent.load(std::memory_order_acquire) == me_;
}

void process_table::add_to_family(section_guard& g, std::uint32_t slot, word& list) {
  process_slot& s = map_.slot_at(slot);
  const std::uint64_t first = g.get(list);
  g.set(s.parent, me_);
  g.set(s.next_sibling, first);
  g.set(s.previous_sibling, 0);
  if (first != 0) g.set(map_.slot_at(static_cast<std::uint32_t>(first)).previous_sibling, slot);
  g.set(list, slot);
}

/// Out of whichever list of its parent's it is in.
void process_table::leave_family(section_guard& g, std::uint32_t slot, process_slot& parent) {
  process_slot& s = map_.slot_at(slot);
  const std::uint64_t next = g.get(s.next_sibling);
  const std::uint64_t previous = g.get(s.previous_sibling);
  word& first = g.get(parent.children) == slot ? parent.children : parent.orphans;
  g.set(previous != 0 ? map_.slot_at(static_cast<std::uint32_t>(previous)).next_sibling : first, next);
  if (next != 0) g.set(map_.slot_at(static_cast<std::uint32_t>(next)).previous_sibling, previous);
}

/// Where no pid is known yet nobody can enter one from now on: that process is not made any more, or finds, if its
/// fork server has just made it, that it has no place.
std::optional<orphan> process_table::next_orphan() noexcept {
  const auto slot = my_slot_ == nullptr ? 0 : static_cast<std::uint32_t>(my_slot_->orphans.load());
  if (slot == 0) return std::nullopt;
  process_slot& s = map_.slot_at(slot);
  const std::uint64_t state = s.state.load(std::memory_order_acquire);
  const std::uint32_t generation = generation_in(state);
  std::uint64_t pid = make_pid(generation, 0);
  s.pid.compare_exchange_strong(pid, make_pid(generation + 1, 0), std::memory_order_acq_rel);
  const bool known = generation_in(pid) == generation;
  return orphan{{slot, generation}, known ? pid_in(pid) : 0, state_of(state) == slot_state::dead};
}

void process_table::watch_orphan(process_id id) noexcept {
  if (is_my_child(id)) move_child(id, my_slot_->children);
}

void process_table::unwatch_orphan(process_id id) noexcept {
  if (is_my_child(id)) move_child(id, my_slot_->orphans);
}

/// To the list of those that this process watches, or does not watch yet.
void process_table::move_child(process_id id, word& list) noexcept {
  section_guard g(*this, map_.header().heap_section);
  leave_family(g, id.slot, *my_slot_);
  add_to_family(g, id.slot, list);
  g.commit();
}

// ---- the end of the first process ----

int process_table::become_caretaker() {
  for (std::uint32_t slot = first_caretaker(); slot < map_.header().slots; ++slot) {
    process_slot& s = map_.slot_at(slot);
    const process_id id{slot, 1};
    std::uint64_t known = 0;
    if (s.pid.compare_exchange_strong(known, make_pid(id.generation, ::getpid()),
                                      std::memory_order_acq_rel)) {
      kill_point();
      s.state.store(make_state(id.generation, slot_state::live), std::memory_order_release);
      me_ = id.word();
      my_slot_ = &s;
      return 0;
    }
    const int other = pid_in(known);
    if (other != 0 && !sys::is_gone(other)) return other;
  }
  return -1;
}

/// Those that an earlier caretaker had adopted come with that one.
void process_table::adopt_first_process() noexcept {
  adopt_dead(1);
  const auto self = static_cast<std::uint32_t>(me_);
  for (std::uint32_t slot = first_caretaker(); slot < self; ++slot) adopt_dead(slot);
}

void process_table::adopt_dead(std::uint32_t slot) noexcept {
  process_slot& dead = map_.slot_at(slot);
  section_guard g(*this, map_.header().heap_section);
  const std::uint64_t state = g.get(dead.state);
  if (state_of(state) == slot_state::free || g.get(dead.parent) != 0) return;
  g.set(dead.state, make_state(generation_in(state), slot_state::dead));
  add_to_family(g, slot, my_slot_->orphans);
  g.commit();
}

// ---- the end of one ----

bool process_table::mark_dead(process_id id) noexcept {
  if (!is_my_child(id)) return false;  // done already, and the slot may be somebody else's; or not ours to do
  process_slot& s = map_.slot_at(id.slot);
  std::uint64_t state = s.state.load(std::memory_order_acquire);
  while (state_of(state) != slot_state::dead) {
    if (s.state.compare_exchange_weak(state, make_state(id.generation, slot_state::dead),
                                      std::memory_order_acq_rel))
      break;
  }
  return true;
}

/// They are ours from now on, to be watched; those that it was cleaning up after too.
void process_table::inherit_children(process_slot& dead) noexcept {
  for (word* list : {&dead.children, &dead.orphans}) {
    while (const auto slot = static_cast<std::uint32_t>(list->load(std::memory_order_acquire))) {
      section_guard g(*this, map_.header().heap_section);
      leave_family(g, slot, dead);
      add_to_family(g, slot, my_slot_->orphans);
      g.commit();
    }
  }
}

void process_table::free_slot(std::uint32_t slot) noexcept {
  auto& h = map_.header();
  process_slot& s = map_.slot_at(slot);
  for (word* w : {&s.port_name[0], &s.port_name[1], &s.sleeping, &s.woken, &s.woken_inline}) {
    w->store(0, std::memory_order_relaxed);
  }
  const std::uint32_t generation = generation_in(s.state.load(std::memory_order_relaxed));
  section_guard g(*this, h.heap_section);
  leave_family(g, slot, *my_slot_);
  const bool used_up = slot >= first_caretaker();  // such a place is not used a second time
  g.set(s.parent, 0);
  g.set(s.pid, used_up ? make_pid(generation, 0) : 0);
  g.set(s.next_free, used_up ? 0 : g.get(h.free_slots));
  g.set(s.state, make_state(generation, slot_state::free));
  if (!used_up) g.set(h.free_slots, slot);
  g.commit();
}

}  // namespace brood::detail
