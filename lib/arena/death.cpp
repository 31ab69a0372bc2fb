// The clean-up after a dead process, by its parent.
//
// A sequence of steps of which each can be repeated: repair what the dead one was in the middle of (intents),
// take its entries out of the wait lists, take over its children, give back what its cells name, free its chunks and
// its slot. It allocates nothing and throws nothing, as it has to work when memory is full. Until the last step,
// which is one transaction, the slot stays in its parent's list: if that one is killed while it cleans up, whoever
// cleans up after it takes the slot over with the others, finds it dead, and does the rest. The cost is that of what
// the dead one held; nobody else's memory is looked at, unless it owed wakes: then two words of every slot are.
#include <algorithm>

#include "arena/late_rings.hpp"
#include "arena/slot_words.hpp"
#include "brood/arena/arena.hpp"
#include "brood/arena/detail/wait_list.hpp"

namespace brood {

using detail::generation_in;
using detail::held;
using detail::kill_point;
using detail::make_state;
using detail::process_slot;
using detail::reference;
using detail::section_guard;
using detail::slot_state;
using detail::state_of;
using detail::wait_entry;
using detail::word;

void arena::on_death(process_id id) noexcept {
  if (!is_my_child(id)) return;  // done already, and the slot may be somebody else's; or not ours to do
  process_slot& s = slot_at(id.slot);
  std::uint64_t state = s.state.load(std::memory_order_acquire);
  while (state_of(state) != slot_state::dead) {
    if (s.state.compare_exchange_weak(state, make_state(id.generation, slot_state::dead),
                                      std::memory_order_acq_rel))
      break;
  }
  kill_point();
  reclaim(id.slot);
}

void arena::reclaim(std::uint32_t slot) {
  process_slot& s = slot_at(slot);
  repair_intents(s);
  leave_wait_lists(s);
  inherit_children(s);
  // First what refers to objects, then the references to them.
  empty_cells(s, false);
  empty_cells(s, true);
  while (s.names.load(std::memory_order_acquire) != 0) give_back(s.names);
  for (unsigned chunk = 1; chunk < detail::chunk_count; ++chunk) {
    for (word* holder : {&s.wait_chunks[chunk], &s.cell_chunks[chunk]}) {
      const auto block = detail::cell_reference(holder->load(std::memory_order_acquire));
      if (block != 0) release(block, *holder);
    }
  }
  free_slot(slot);
  kill_point();
}

void arena::repair_intents(process_slot& dead) {
  {
    section_guard repaired(*this, header().heap_section);
  }
  if (const std::uint64_t owner = dead.intent_ring.load(std::memory_order_acquire); owner != 0) {
    ring(owner, true);
    dead.intent_ring.store(0, std::memory_order_release);
  }
  if (dead.owes_rings.load(std::memory_order_acquire) != 0) {
    if (!ring_all_woken()) detail::late_rings::owe(*this);
    dead.owes_rings.store(0, std::memory_order_release);
  }
  if (const auto list = static_cast<reference>(dead.intent_list.load(std::memory_order_acquire)); list != 0) {
    auto& waits_in = at<detail::wait_list>(list);
    // Also if nobody seems to wait: the count may be in the transaction that is to be finished, with words of
    // the slot.
    detail::repair(*this, waits_in);
    // Whether it woke anyone is unknown; one too many does no harm.
    detail::wake(*this, waits_in, 1);
    dead.intent_list.store(0, std::memory_order_release);
  }
  if (const auto object = static_cast<reference>(dead.intent_object.load(std::memory_order_acquire));
      object != 0) {
    if (const auto* header_of = checked_header(object); header_of != nullptr) {
      const auto tag = header_of->tag.load(std::memory_order_relaxed);
      const auto* kind = detail::find_object_kind(static_cast<std::uint8_t>(tag & 0xff));
      if (kind != nullptr && kind->repair != nullptr) kind->repair(*this, object);
    }
    dead.intent_object.store(0, std::memory_order_release);
  }
}

/// Whoever is owed a datagram has a bit set. One too many does no harm.
bool arena::ring_all_woken() noexcept {
  const auto slots = std::min(header().slots, header().slots_cut.load(std::memory_order_acquire));
  for (std::uint32_t slot = 1; slot < slots; ++slot) {
    const process_slot& s = slot_at(slot);
    const std::uint64_t state = s.state.load(std::memory_order_acquire);
    if (state_of(state) != slot_state::live || s.woken.load(std::memory_order_seq_cst) == 0) continue;
    if (slot != self().slot && !press_doorbell(slot)) return false;
  }
  return true;
}

void arena::leave_wait_lists(process_slot& dead) {
  const auto leave_one = [this](wait_entry& entry) {
    const auto list = static_cast<reference>(entry.list.load(std::memory_order_acquire));
    if (list == 0) return;
    auto& waits_in = at<detail::wait_list>(list);
    // Even one that waited: it may have been woken, found nothing and been killed before it could look again.
    detail::leave(*this, waits_in, entry);
    detail::settle_wake(*this, waits_in, true);
  };
  for (wait_entry& entry : dead.waits) leave_one(entry);
  for (unsigned chunk = 1; chunk < detail::chunk_count; ++chunk) {
    const auto block = detail::cell_reference(dead.wait_chunks[chunk].load(std::memory_order_acquire));
    if (block == 0) continue;
    const reference first = block + 1 + detail::bitmap_words(chunk) / 8;
    for (std::uint32_t i = 0; i < detail::waits_in_chunk(chunk); ++i) leave_one(at<wait_entry>(first + i));
  }
}

void arena::empty_cells(process_slot& dead, bool objects) {
  for (unsigned chunk = 0; chunk < detail::chunk_count; ++chunk) {
    if (chunk > 0 && dead.cell_chunks[chunk].load(std::memory_order_acquire) == 0) continue;
    for (std::uint32_t i = 0; i < detail::cells_in_chunk(chunk); ++i) {
      word& cell = cell_at(dead, chunk, i);
      const held kind = detail::cell_kind(cell.load(std::memory_order_acquire));
      if (kind == held::nothing || objects != (kind == held::object || kind == held::dying)) continue;
      kill_point();
      give_back(cell);
    }
  }
}

/// They are ours from now on, to be watched; those that it was cleaning up after too.
void arena::inherit_children(process_slot& dead) {
  for (word* list : {&dead.children, &dead.orphans}) {
    while (const auto slot = static_cast<std::uint32_t>(list->load(std::memory_order_acquire))) {
      section_guard g(*this, header().heap_section);
      leave_family(g, slot, dead);
      add_to_family(g, slot, my_slot_->orphans);
      g.commit();
    }
  }
}

/// Empties a cell.
void arena::give_back(word& cell) {
  const std::uint64_t value = cell.load(std::memory_order_acquire);
  const reference what = detail::cell_reference(value);
  const auto* header_of = checked_header(what);
  if (header_of == nullptr)
    return cell.store(0, std::memory_order_release);  // written by a process gone wild
  const held kind = detail::cell_kind(value);
  if (kind == held::block) return release(what, cell);
  if (kind == held::object || kind == held::dying) return drop(what, cell);
  const auto tag = header_of->tag.load(std::memory_order_relaxed);
  const auto* object = detail::find_object_kind(static_cast<std::uint8_t>(tag & 0xff));
  const bool known = object != nullptr && object->give_back != nullptr;
  if (known) object->give_back(*this, cell);
  // A kind that left it as it is has nothing to give back.
  if (cell.load(std::memory_order_relaxed) == value) cell.store(0, std::memory_order_release);
}

void arena::free_slot(std::uint32_t slot) {
  auto& h = header();
  process_slot& s = slot_at(slot);
  for (word* w : {&s.port_name[0], &s.port_name[1], &s.sleeping, &s.woken, &s.woken_inline}) {
    w->store(0, std::memory_order_relaxed);
  }
  const std::uint32_t generation = generation_in(s.state.load(std::memory_order_relaxed));
  section_guard g(*this, h.heap_section);
  leave_family(g, slot, *my_slot_);
  g.set(s.parent, 0);
  g.set(s.pid, 0);
  g.set(s.next_free, g.get(h.free_slots));
  g.set(s.state, make_state(generation, slot_state::free));
  g.set(h.free_slots, slot);
  g.commit();
}

}  // namespace brood
