// The process table: slots, what each process holds and waits for. See waking.cpp for how one ends another's
// sleep, and death.cpp for the clean-up after a dead one.
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "arena/slot_words.hpp"
#include "brood/arena/arena.hpp"
#include "system/pidfd.hpp"

namespace brood {

using detail::held;
using detail::make_owner;
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
  if (slot_to_adopt_ != 0) adopt_slot(std::exchange(slot_to_adopt_, 0));
  if (my_slot_ == nullptr) {
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
  const int pid = static_cast<int>(s.pid.load(std::memory_order_relaxed));
  return pid != ::getpid() && sys::is_gone(pid);
}

// ---- birth ----

std::uint32_t arena::reserve_slot() {
  auto& h = header();
  // Only the first process of a family has no slot yet, and so no cell to name the child in; it holds the section in
  // the name of the slot it is about to get, which nobody else can have.
  const bool first = h.slots_cut.load() == 1;
  if (!first) require_slot();
  if (first) {
    h.slots_cut.store(2);
    slot_at(1).state.store(make_state(1, slot_state::reserved), std::memory_order_release);
    return 1;
  }
  prepare_to_ring();
  word& cell = take_cell();
  try {
    section_guard g(*this, h.heap_section);
    std::uint64_t slot = g.get(h.free_slots);
    if (slot != 0) {
      g.set(h.free_slots,
            slot_at(static_cast<std::uint32_t>(slot)).next_free.load(std::memory_order_relaxed));
    } else {
      slot = g.get(h.slots_cut);
      if (slot >= h.slots)
        throw arena_full("the table of processes is full; give brood::options a larger arena");
      g.set(h.slots_cut, slot + 1);
    }
    process_slot& s = slot_at(static_cast<std::uint32_t>(slot));
    const std::uint64_t generation = (s.state.load(std::memory_order_relaxed) >> 32) + 1;
    s.pid.store(0, std::memory_order_relaxed);
    g.set(s.state, make_state(generation & 0xffffffff, slot_state::reserved));
    g.set(s.parent, me_);
    g.set(cell, detail::make_cell(held::child, static_cast<reference>(slot)));
    g.commit();
    children_.emplace(static_cast<std::uint32_t>(slot), &cell);
    return static_cast<std::uint32_t>(slot);
  } catch (...) {
    return_cell(cell);
    throw;
  }
}

void arena::adopt_slot(std::uint32_t slot) {
  if (slot == 0 || slot >= header().slots)
    throw std::logic_error("brood: no such slot in the family's memory");
  process_slot& s = slot_at(slot);
  std::uint64_t state = s.state.load(std::memory_order_acquire);
  const bool reserved = state_of(state) == slot_state::reserved;
  if (reserved) s.pid.store(static_cast<std::uint64_t>(::getpid()), std::memory_order_relaxed);
  if (!reserved || !s.state.compare_exchange_strong(
                       state, (state & 0xffffffff00000000) | static_cast<std::uint64_t>(slot_state::live),
                       std::memory_order_acq_rel)) {
    throw std::logic_error("brood: this slot of the family's memory was not reserved for a new process");
  }
  me_ = make_owner(state, slot);
  reset_local(slot);
}

void arena::disown() noexcept {
  me_ = 0;
  my_slot_ = nullptr;
  doorbell_.forget();
  slot_to_adopt_ = 0;
}

void arena::reset_local(std::uint32_t slot) {
  my_slot_ = &slot_at(slot);
  free_cells_.clear();
  free_waits_.clear();
  waits_total_ = 0;
  waiters_.clear();
  children_.clear();
  orphans_.clear();
  new_orphans_.clear();
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

void arena::return_cell(word& cell) noexcept { free_cells_.push_back(&cell); }

void arena::for_each_cell(const std::function<void(std::uint64_t)>& look) const {
  const auto slots = std::min(header().slots, header().slots_cut.load(std::memory_order_acquire));
  for (std::uint32_t slot = 1; slot < slots; ++slot) {
    process_slot& s = slot_at(slot);
    if (state_of(s.state.load(std::memory_order_acquire)) == slot_state::free) continue;
    for (unsigned chunk = 0; chunk < detail::chunk_count; ++chunk) {
      if (chunk > 0 && s.cell_chunks[chunk].load(std::memory_order_acquire) == 0) continue;
      for (std::uint32_t i = 0; i < detail::cells_in_chunk(chunk); ++i) {
        look(cell_at(s, chunk, i).load(std::memory_order_acquire));
      }
    }
  }
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
  waiters_[wait_index(entry.home.load(std::memory_order_relaxed))] = nullptr;
  free_waits_.push_back(to_reference(entry));
}

}  // namespace brood
