// Leases: records of their own, and the skip list of those that came back.
#include "channel/queue_records.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "brood/arena/detail/intent.hpp"

namespace brood::detail {
namespace {

constexpr unsigned shift_of(unsigned level) { return level % 2 * 32; }

reference link_at(section_guard& g, const shared_links& links, unsigned level) noexcept {
  return static_cast<reference>(g.get(links[level / 2]) >> shift_of(level));
}
void set_link(section_guard& g, shared_links& links, unsigned level, reference to) {
  word& both = links[level / 2];
  const std::uint64_t other = g.get(both) & ~(std::uint64_t{0xffffffff} << shift_of(level));
  g.set(both, other | std::uint64_t{to} << shift_of(level));
}

/// The number of levels a record is linked in. From its ticket, so that every process draws the same.
unsigned height_of(std::uint64_t ticket) noexcept {
  const std::uint64_t mixed = (ticket + 1) * 0x9e3779b97f4a7c15;  // Fibonacci hashing: the high bits are good
  return 1 + std::min<unsigned>(link_levels - 1, static_cast<unsigned>(std::countl_zero(mixed)) / 2);
}

/// Oldest first.
void link_returned(arena& memory, queue_state& s, section_guard& g, reference block) {
  lease_record& record = record_at(memory, block);
  const std::uint64_t ticket = record.ticket.load(std::memory_order_relaxed);
  for (word& pair : record.next) pair.store(0, std::memory_order_relaxed);
  const unsigned height = height_of(ticket);
  shared_links* before = &s.returned_list;
  for (unsigned level = link_levels; level-- > 0;) {
    reference after = link_at(g, *before, level);
    while (after != 0 && record_at(memory, after).ticket.load(std::memory_order_relaxed) < ticket) {
      before = &record_at(memory, after).next;
      after = link_at(g, *before, level);
    }
    if (level >= height) continue;
    word& pair = record.next[level / 2];  // nobody sees the record yet, so it is written at once
    pair.store(pair.load(std::memory_order_relaxed) | std::uint64_t{after} << shift_of(level),
               std::memory_order_relaxed);
    set_link(g, *before, level, block);
  }
}

void give_back_lease(arena& memory, word& cell) {
  const std::uint64_t value = cell.load(std::memory_order_acquire);
  if (cell_kind(value) == held::settled) return free_record(memory, cell);
  const auto queue =
      static_cast<reference>(record_at(memory, cell_reference(value)).queue.load(std::memory_order_relaxed));
  if (memory.heap.payload(queue, queue_kind).size() < sizeof(queue_state)) return;
  auto& s = memory.map.state_at<queue_state>(queue);
  intent named(memory, queue);
  put_back(memory, s, cell);
  wake(memory, s.getters, 1);
}

const object_kind lease_functions{nullptr, nullptr, give_back_lease};
const bool registered = [] {
  register_object_kind(lease_block, lease_functions);
  return true;
}();

}  // namespace

void put_back(arena& memory, queue_state& s, word& cell) {
  section_guard g(memory.processes, s.take_end);
  link_returned(memory, s, g, cell_reference(cell.load(std::memory_order_acquire)));
  g.add(s.returned(), 1);
  g.add(s.leases(), -std::uint64_t{1});
  g.set(cell, 0);
  g.commit();
}

reference unlink_returned(arena& memory, queue_state& s, section_guard& g) {
  const reference first = link_at(g, s.returned_list, 0);
  const shared_links& after = record_at(memory, first).next;
  for (unsigned level = 0; level < link_levels && link_at(g, s.returned_list, level) == first; ++level) {
    set_link(g, s.returned_list, level, link_at(g, after, level));
  }
  g.add(s.returned(), -std::uint64_t{1});
  return first;
}

void free_record(arena& memory, word& holder) {
  const reference block = cell_reference(holder.load(std::memory_order_acquire));
  lease_record& record = record_at(memory, block);
  if (const std::uint64_t message = record.block.load(std::memory_order_acquire); message != 0) {
    memory.heap.release(cell_reference(message), record.block);
  }
  memory.heap.release(block, holder);
}

void fail_overwritten() { throw error("a message in shared memory was overwritten"); }

std::span<const std::byte> block_bytes(arena& memory, reference block) {
  const auto payload = memory.heap.payload(block, message_block);
  const std::uint64_t attached = memory.map.at<block_header>(block).attached.load(std::memory_order_relaxed);
  if (payload.data() == nullptr || attached > payload.size() / sizeof(word)) fail_overwritten();
  return payload.subspan(attached * sizeof(word));
}

std::span<const std::byte> record_bytes(arena& memory, reference block) {
  const auto payload = memory.heap.payload(block, lease_block);
  if (payload.size() < sizeof(lease_record)) fail_overwritten();
  const lease_record& record = record_at(memory, block);
  const std::uint64_t head = record.head.load(std::memory_order_relaxed);
  if ((head & large_message) != 0) return block_bytes(memory, cell_reference(record.block.load()));
  if (head > payload.size() - sizeof(lease_record)) fail_overwritten();
  return payload.subspan(sizeof(lease_record), head);
}

// ---- what a queue does with leases ----

take_outcome queue_core::take_leased(word*& lease) {
  queue_state& s = *state_;
  memory().processes.require_slot();
  intent named(memory(), name().block);
  held_cell spare(memory());  // holds the record until it is a lease
  held_cell cell(memory());
  drained_ring drained;
  {
    section_guard g(memory().processes, s.take_end);
    std::uint64_t head = 0;
    if (s.returned().load(std::memory_order_relaxed) != 0) {
      take_returned(g, *cell, held::leased);
    } else if (!something_there(g, head, drained)) {
      return nothing_left(g);
    } else {
      memory().heap.allocate(sizeof(lease_record) + inline_bytes_, lease_block, *spare, held::block);
      const reference block = cell_reference(spare->load(std::memory_order_relaxed));
      lease_record& record = record_at(memory(), block);
      std::byte* place = slot(s.first_ring().load(std::memory_order_relaxed), head);
      const auto first = reinterpret_cast<word*>(place)[0].load(std::memory_order_relaxed);
      const bool large = (first & large_message) != 0;
      const std::uint64_t size = large ? 0 : std::min<std::uint64_t>(first, inline_bytes_);
      record.queue.store(name().block, std::memory_order_relaxed);
      record.ticket.store(head, std::memory_order_relaxed);
      record.head.store(large ? large_message : size, std::memory_order_relaxed);
      record.block.store(large ? reinterpret_cast<word*>(place)[1].load(std::memory_order_relaxed) : 0,
                         std::memory_order_relaxed);
      std::memcpy(reinterpret_cast<std::byte*>(&record + 1), place + sizeof(word), size);
      g.set(*cell, make_cell(held::leased, block));
      g.set(*spare, 0);
      g.set(s.head(), head + 1);
      g.add(s.leases(), 1);
      g.commit();
    }
  }
  wake_one(s.putters);
  lease = cell.keep();
  return take_outcome::done;
}

/// Takes the first of the messages that came back into `cell`.
void queue_core::take_returned(section_guard& g, word& cell, held as) {
  queue_state& s = *state_;
  g.set(cell, make_cell(as, unlink_returned(memory(), s, g)));
  if (as == held::leased) g.add(s.leases(), 1);
  g.commit();
}

std::span<const std::byte> queue_core::leased_bytes(const word& cell) const {
  return record_bytes(memory(), cell_reference(cell.load(std::memory_order_relaxed)));
}

void queue_core::settle(word& cell) {
  queue_state& s = *state_;
  intent named(memory(), name().block);
  bool last = false;
  {
    section_guard g(memory().processes, s.take_end);
    g.add(s.leases(), -std::uint64_t{1});
    g.add(s.finished(), 1);
    g.set(cell, make_cell(held::settled, cell_reference(cell.load(std::memory_order_relaxed))));
    last = g.get(s.leases()) == 0;
    g.commit();
  }
  if (last && is_closed()) wake_all(s.getters);  // nothing can come back: the queue ends
  if (all_done()) wake_all(s.joiners);
  free_record(memory(), cell);
}

void queue_core::give_back(word& cell) {
  intent named(memory(), name().block);
  put_back(memory(), *state_, cell);
  wake_one(state_->getters);
}

}  // namespace brood::detail
