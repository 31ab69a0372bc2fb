// The clean-up after a dead process, by its parent: a function of the mapping, the process table, the heap and the wakes.
//
// A sequence of steps of which each can be repeated: repair what the dead one was in the middle of (intents),
// take its entries out of the wait lists, take over its children, give back what its cells name, free its chunks and
// its slot. It allocates nothing and throws nothing, as it has to work when memory is full. Until the last step,
// which is one transaction, the slot stays in its parent's list: if that one is killed while it cleans up, whoever
// cleans up after it takes the slot over with the others, finds it dead, and does the rest. The cost is that of what
// the dead one held; nobody else's memory is looked at, unless it owed wakes: then two words of every slot are.
#include "arena/late_rings.hpp"
#include "brood/arena/arena.hpp"
#include "brood/arena/detail/wait_list.hpp"

namespace brood {
namespace detail {
namespace {

/// Null for a block of no kind, or of one that this process does not know.
const object_kind* kind_of(const block_header& block) noexcept {
  return find_object_kind(static_cast<std::uint8_t>(block.tag.load(std::memory_order_relaxed) & 0xff));
}

void repair_intents(arena& memory, process_slot& dead) {
  {
    section_guard repaired(memory.processes, memory.map.header().heap_section);
  }
  if (const std::uint64_t owner = dead.intent_ring.load(std::memory_order_acquire); owner != 0) {
    memory.wakes.ring(owner, true);
    dead.intent_ring.store(0, std::memory_order_release);
  }
  if (dead.owes_rings.load(std::memory_order_acquire) != 0) {
    if (!memory.wakes.ring_all_woken()) late_rings::owe(memory.wakes);
    dead.owes_rings.store(0, std::memory_order_release);
  }
  if (const auto list = static_cast<reference>(dead.intent_list.load(std::memory_order_acquire)); list != 0) {
    auto& waits_in = memory.map.at<wait_list>(list);
    // Also if nobody seems to wait: the count may be in the transaction that is to be finished, with words of the slot.
    repair(memory, waits_in);
    // Whether it woke anyone is unknown; one too many does no harm.
    wake(memory, waits_in, 1);
    dead.intent_list.store(0, std::memory_order_release);
  }
  if (const auto object = static_cast<reference>(dead.intent_object.load(std::memory_order_acquire));
      object != 0) {
    if (const block_header* block = memory.heap.checked_header(object)) {
      const object_kind* kind = kind_of(*block);
      if (kind != nullptr && kind->repair != nullptr) kind->repair(memory, object);
    }
    dead.intent_object.store(0, std::memory_order_release);
  }
}

void leave_wait_lists(arena& memory, process_slot& dead) {
  const auto leave_one = [&memory](wait_entry& entry) {
    const auto list = static_cast<reference>(entry.list.load(std::memory_order_acquire));
    if (list == 0) return;
    auto& waits_in = memory.map.at<wait_list>(list);
    // Even one that waited: it may have been woken, found nothing and been killed before it could look again.
    leave(memory, waits_in, entry);
    settle_wake(memory, waits_in, true);
  };
  for (wait_entry& entry : dead.waits) leave_one(entry);
  for (unsigned chunk = 1; chunk < chunk_count; ++chunk) {
    const auto block = cell_reference(dead.wait_chunks[chunk].load(std::memory_order_acquire));
    if (block == 0) continue;
    const reference first = block + 1 + bitmap_words(chunk) / 8;
    for (std::uint32_t i = 0; i < waits_in_chunk(chunk); ++i) leave_one(memory.map.at<wait_entry>(first + i));
  }
}

/// Empties one cell.
void give_back(arena& memory, word& cell) {
  const std::uint64_t value = cell.load(std::memory_order_acquire);
  const reference what = cell_reference(value);
  const block_header* block = memory.heap.checked_header(what);
  if (block == nullptr) return cell.store(0, std::memory_order_release);  // written by a process gone wild
  const held as = cell_kind(value);
  if (as == held::block) return memory.heap.release(what, cell);
  if (as == held::object || as == held::dying) return memory.heap.drop(what, cell);
  const object_kind* kind = kind_of(*block);
  if (kind != nullptr && kind->give_back != nullptr) kind->give_back(memory, cell);
  // A kind that left it as it is has nothing to give back.
  if (cell.load(std::memory_order_relaxed) == value) cell.store(0, std::memory_order_release);
}

void empty_cells(arena& memory, process_slot& dead, bool objects) {
  for (unsigned chunk = 0; chunk < chunk_count; ++chunk) {
    if (chunk > 0 && dead.cell_chunks[chunk].load(std::memory_order_acquire) == 0) continue;
    for (std::uint32_t i = 0; i < cells_in_chunk(chunk); ++i) {
      word& cell = memory.heap.cell_at(dead, chunk, i);
      const held as = cell_kind(cell.load(std::memory_order_acquire));
      if (as == held::nothing || objects != (as == held::object || as == held::dying)) continue;
      kill_point();
      give_back(memory, cell);
    }
  }
}

void free_chunks(arena& memory, process_slot& dead) {
  for (unsigned chunk = 1; chunk < chunk_count; ++chunk) {
    for (word* holder : {&dead.wait_chunks[chunk], &dead.cell_chunks[chunk]}) {
      const auto block = cell_reference(holder->load(std::memory_order_acquire));
      if (block != 0) memory.heap.release(block, *holder);
    }
  }
}

void clean_up_after(arena& memory, std::uint32_t slot) {
  process_slot& dead = memory.map.slot_at(slot);
  repair_intents(memory, dead);
  leave_wait_lists(memory, dead);
  memory.processes.inherit_children(dead);
  // First what refers to objects, then the references to them.
  empty_cells(memory, dead, false);
  empty_cells(memory, dead, true);
  while (dead.names.load(std::memory_order_acquire) != 0) give_back(memory, dead.names);
  free_chunks(memory, dead);
  memory.processes.free_slot(slot);
}

}  // namespace
}  // namespace detail

void arena::on_death(process_id id) noexcept {
  if (!processes.mark_dead(id)) return;
  detail::kill_point();
  detail::clean_up_after(*this, id.slot);
  detail::kill_point();
}

}  // namespace brood
