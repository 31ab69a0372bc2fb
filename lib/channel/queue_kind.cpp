// What the arena does for queues: takes them apart, repairs them after a death, counts them.
#include "brood/arena/detail/object_kit.hpp"
#include "brood/channel/detail/queue_core.hpp"
#include "brood/runtime/snapshot.hpp"
#include "channel/queue_records.hpp"

namespace brood::detail {
namespace {

/// Frees the first ring and, slot by slot before it, the blocks of its messages. Each step clears its word in the
/// transaction that frees.
void destroy_first_ring(arena& memory, queue_state& s) {
  const std::uint64_t named = s.first_ring().load(std::memory_order_acquire);
  auto& ring = memory.map.state_at<ring_header>(cell_reference(named));
  const std::uint64_t end = ring.next.load() != 0 ? ring.end.load() : s.tail().load();
  const std::uint64_t mask = (std::uint64_t{1} << (cell_extra(named) & 63)) - 1;
  std::byte* slots = reinterpret_cast<std::byte*>(&ring + 1);
  for (std::uint64_t t = s.head().load(); t != end; ++t) {
    auto* slot = reinterpret_cast<word*>(slots + (t & mask) * s.stride);
    if ((slot[0].load() & large_message) != 0 && slot[1].load() != 0) {
      memory.heap.release(cell_reference(slot[1].load()), slot[1]);
    }
    kill_point();
    s.head().store(t + 1, std::memory_order_release);
  }
  section_guard g(memory.processes, s.take_end);
  g.set(s.first_ring(), ring.next.load());
  g.set(s.discarded, make_cell(held::block, cell_reference(named)));
  g.commit();
}

/// A killed clean-up may have left something discarded; the one that follows it begins with that.
void free_discarded(arena& memory, queue_state& s) {
  const std::uint64_t value = s.discarded.load(std::memory_order_acquire);
  if (cell_kind(value) == held::settled) free_record(memory, s.discarded);
  if (cell_kind(value) == held::block) memory.heap.release(cell_reference(value), s.discarded);
}

/// Called again from the start if the process doing it is killed.
void destroy_queue(arena& memory, reference block) {
  auto& s = memory.map.state_at<queue_state>(block);
  {
    section_guard repaired(memory.processes, s.put_end);
  }
  {
    section_guard repaired(memory.processes, s.take_end);
  }
  free_discarded(memory, s);
  while (s.first_ring().load(std::memory_order_acquire) != 0) {
    destroy_first_ring(memory, s);
    free_discarded(memory, s);
  }
  while (s.returned().load(std::memory_order_acquire) != 0) {
    {
      section_guard g(memory.processes, s.take_end);
      g.set(s.discarded, make_cell(held::settled, unlink_returned(memory, s, g)));
      g.commit();
    }
    free_discarded(memory, s);
  }
}

void repair_queue(arena& memory, reference block) {
  auto& s = memory.map.state_at<queue_state>(block);
  {
    section_guard g(memory.processes, s.put_end);
  }
  {
    section_guard g(memory.processes, s.take_end);
  }
  repair(memory, s.getters);
  repair(memory, s.putters);
  repair(memory, s.joiners);
  // Whether it owed a wake is unknown: one each, or everybody if the queue was closed.
  const bool closed = s.closed.load() != 0;
  wake(memory, s.getters, closed && s.leases().load() == 0 ? unlimited : 1);
  wake(memory, s.putters, closed ? unlimited : 1);
  if (s.finished().load() >= s.tail().load()) wake(memory, s.joiners, unlimited);
}

void count_queue(shared_object& object, snapshot& counted) {
  auto& queue = static_cast<queue_core&>(object);
  counted.queues.push_back({queue.size(), queue.capacity(),
                            queue.getters().count().load(std::memory_order_relaxed),
                            queue.putters().count().load(std::memory_order_relaxed)});
}

}  // namespace

constinit const object_kind queue_core::kind_functions{destroy_queue, repair_queue, nullptr, count_queue};

}  // namespace brood::detail
