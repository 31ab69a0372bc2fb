// The clean-up after a dead process.
//
// A sequence of steps of which each can be repeated: repair what the dead one was in the middle of (intents),
// take its entries out of the wait lists, give back what its cells name, free its chunks and its slot. A
// process killed while it cleans up has the dead one's slot in a cell of its own, so that whoever cleans up
// after it does the rest. The cost is that of what the dead one held; nobody else's memory is looked at, unless
// it owed wakes: then two words of every slot are.
#include <algorithm>
#include <utility>

#include "arena/late_rings.hpp"
#include "arena/slot_words.hpp"
#include "brood/arena/arena.hpp"
#include "brood/arena/detail/wait_list.hpp"
#include "system/pidfd.hpp"

namespace brood {

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

void arena::on_death(std::uint32_t slot) {
  if (slot == 0 || slot >= header().slots) return;
  require_slot();
  process_slot& s = slot_at(slot);
  std::uint64_t state = s.state.load(std::memory_order_acquire);
  while (state_of(state) == slot_state::reserved || state_of(state) == slot_state::live) {
    if (s.state.compare_exchange_weak(state, make_state(state >> 32, slot_state::dead),
                                      std::memory_order_acq_rel))
      break;
  }
  if (state_of(s.state.load(std::memory_order_acquire)) == slot_state::dead) reclaim(slot);
  // The cell that names the child goes last: until then a successor would do this again.
  const auto found = children_.find(slot);
  if (found == children_.end()) return;
  found->second->store(0, std::memory_order_release);
  return_cell(*found->second);
  children_.erase(found);
  orphans_.erase(slot);
}

void arena::reclaim(std::uint32_t slot) {
  process_slot& s = slot_at(slot);
  // One at a time; a reclaimer that died is followed by the next.
  std::uint64_t other = 0;
  if (!s.reclaimer.compare_exchange_strong(other, me_, std::memory_order_acq_rel) && other != me_) {
    if (!is_dead(other) || !s.reclaimer.compare_exchange_strong(other, me_, std::memory_order_acq_rel))
      return;
  }
  if (state_of(s.state.load(std::memory_order_acquire)) != slot_state::dead) {  // another has just finished
    s.reclaimer.store(0, std::memory_order_release);
    return;
  }
  word& cell = take_cell();
  cell.store(detail::make_cell(held::reclaiming, slot), std::memory_order_release);
  kill_point();
  repair_intents(s);
  leave_wait_lists(s);
  empty_cells(slot, false);
  empty_cells(slot, true);
  for (unsigned chunk = 1; chunk < detail::chunk_count; ++chunk) {
    for (word* holder : {&s.wait_chunks[chunk], &s.cell_chunks[chunk]}) {
      const auto block = detail::cell_reference(holder->load(std::memory_order_acquire));
      if (block != 0) release(block, *holder);
    }
  }
  free_slot(slot);
  kill_point();
  cell.store(0, std::memory_order_release);
  return_cell(cell);
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
    if (slot != self() && !press_doorbell(slot)) return false;
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

/// First what refers to objects, then the references to them.
void arena::empty_cells(std::uint32_t slot, bool objects) {
  process_slot& s = slot_at(slot);
  for (unsigned chunk = 0; chunk < detail::chunk_count; ++chunk) {
    if (chunk > 0 && s.cell_chunks[chunk].load(std::memory_order_acquire) == 0) continue;
    for (std::uint32_t i = 0; i < detail::cells_in_chunk(chunk); ++i) {
      word& cell = cell_at(s, chunk, i);
      const held kind = detail::cell_kind(cell.load(std::memory_order_acquire));
      if (kind == held::nothing || objects != (kind == held::object || kind == held::dying)) continue;
      kill_point();
      empty_cell(slot, cell);
    }
  }
}

void arena::empty_cell(std::uint32_t slot, word& cell) {
  const std::uint64_t value = cell.load(std::memory_order_acquire);
  const reference what = detail::cell_reference(value);
  switch (detail::cell_kind(value)) {
    case held::child:
    case held::orphan:
      inherit(what);
      break;
    case held::reclaiming:
      if (what != slot && what < header().slots && state_of(slot_at(what).state.load()) == slot_state::dead) {
        reclaim(what);
      }
      break;
    default:
      if (checked_header(what) != nullptr) return give_back(cell);
      break;  // only a process gone wild writes such a cell
  }
  cell.store(0, std::memory_order_release);
}

/// The slot of a dead process's child: ours from now on. Named twice for a moment, which is harmless:
/// cleaning up twice is.
void arena::inherit(std::uint32_t slot) {
  word& mine = take_cell();
  mine.store(detail::make_cell(held::orphan, slot), std::memory_order_release);
  kill_point();
  children_.emplace(slot, &mine);
  orphans_.insert(slot);
  new_orphans_.push_back(slot);
}

/// Empties a cell that names a block.
void arena::give_back(word& cell) {
  const std::uint64_t value = cell.load(std::memory_order_acquire);
  const reference what = detail::cell_reference(value);
  const held kind = detail::cell_kind(value);
  if (kind == held::block) return release(what, cell);
  if (kind == held::object || kind == held::dying) return drop(what, cell);
  const auto tag = checked_header(what)->tag.load(std::memory_order_relaxed);
  const auto* object = detail::find_object_kind(static_cast<std::uint8_t>(tag & 0xff));
  if (object != nullptr && object->give_back != nullptr) object->give_back(*this, cell);
  cell.store(0, std::memory_order_release);
}

void arena::free_slot(std::uint32_t slot) {
  auto& h = header();
  process_slot& s = slot_at(slot);
  for (word* w :
       {&s.pid, &s.parent, &s.port_name[0], &s.port_name[1], &s.sleeping, &s.woken, &s.woken_inline}) {
    w->store(0, std::memory_order_relaxed);
  }
  section_guard g(*this, h.heap_section);
  g.set(s.next_free, g.get(h.free_slots));
  g.set(s.reclaimer, 0);
  g.set(s.state, make_state(s.state.load(std::memory_order_relaxed) >> 32, slot_state::free));
  g.set(h.free_slots, slot);
  g.commit();
}

std::vector<std::pair<std::uint32_t, int>> arena::take_orphans() {
  std::vector<std::pair<std::uint32_t, int>> taken;
  for (const std::uint32_t slot : std::exchange(new_orphans_, {})) {
    if (orphans_.contains(slot)) taken.emplace_back(slot, static_cast<int>(slot_at(slot).pid.load()));
  }
  return taken;
}

std::size_t arena::sweep_orphans() {
  std::size_t swept = 0;
  const std::vector<std::uint32_t> all(orphans_.begin(), orphans_.end());
  for (const std::uint32_t slot : all) {
    const int pid = static_cast<int>(slot_at(slot).pid.load());
    if (pid == 0 || !sys::is_gone(pid)) continue;
    on_death(slot);
    ++swept;
  }
  return swept;
}

}  // namespace brood
