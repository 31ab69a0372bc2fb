// The chain of rings: how a queue grows at one end and drains at the other. The states are in queue_core.hpp.
#include <algorithm>
#include <bit>

#include "brood/arena/detail/intent.hpp"
#include "brood/channel/detail/queue_core.hpp"

namespace brood::detail {
namespace {

constexpr std::uint64_t first_ring_slots = 64;
// A ring is at most so large: a queue that grows further has more of them, which go back one by one as it drains.
constexpr std::uint64_t most_ring_bytes = std::uint64_t{16} << 20;

std::uint64_t slots_of(std::uint64_t ring) noexcept { return std::uint64_t{1} << (cell_extra(ring) & 63); }

ring_header& header_of(arena& memory, std::uint64_t ring) noexcept {
  return memory.map.state_at<ring_header>(cell_reference(ring));
}

/// A ring that nothing refers to yet but `cell`; gives how it is named.
std::uint64_t make_ring(arena& memory, word& cell, std::uint64_t slots, std::uint64_t stride) {
  const reference block =
      memory.heap.allocate(sizeof(ring_header) + slots * stride, storage_block, cell, held::block);
  auto& ring = memory.map.state_at<ring_header>(block);
  ring.next.store(0, std::memory_order_relaxed);
  ring.end.store(0, std::memory_order_relaxed);
  return make_cell(held::block, block, static_cast<std::uint32_t>(std::countr_zero(slots)));
}

}  // namespace

void queue_core::make_first_ring() {
  queue_state& s = *state_;
  const std::uint64_t slots = std::bit_ceil(std::min<std::uint64_t>(s.capacity, first_ring_slots));
  intent named(memory(), name().block);
  held_cell cell(memory());
  const std::uint64_t ring = make_ring(memory(), *cell, slots, stride_);
  section_guard g(memory().processes, s.put_end);  // nobody else has the queue, so of both ends
  g.set(s.first_ring(), ring);
  g.set(s.last_ring(), ring);
  g.set(*cell, 0);
  g.commit();
}

std::byte* queue_core::slot(std::uint64_t ring, std::uint64_t ticket) const noexcept {
  auto* slots = reinterpret_cast<std::byte*>(&header_of(memory(), ring) + 1);
  return slots + (ticket & (slots_of(ring) - 1)) * stride_;
}

/// Room for one more, growing if the last ring is full and the queue is not.
bool queue_core::has_room(section_guard& g, std::uint64_t tail) {
  queue_state& s = *state_;
  const std::uint64_t start = s.last_start().load(std::memory_order_relaxed);
  const std::uint64_t slots = slots_of(s.last_ring().load(std::memory_order_relaxed));
  const auto fits = [&](std::uint64_t head) {
    return tail - head < s.capacity && tail - std::max(head, start) < slots;
  };
  if (fits(s.seen_head().load(std::memory_order_relaxed))) return true;
  const std::uint64_t head = s.head().load(std::memory_order_acquire);
  s.seen_head().store(head, std::memory_order_relaxed);
  if (fits(head)) return true;
  if (tail - head >= s.capacity) return false;
  grow(g, tail);
  return true;
}

/// Commits what was put up to `tail` as well: a ring must not begin after a message that is not there.
void queue_core::grow(section_guard& g, std::uint64_t tail) {
  queue_state& s = *state_;
  const std::uint64_t last = s.last_ring().load(std::memory_order_relaxed);
  const std::uint64_t most = std::max(first_ring_slots, std::bit_floor(most_ring_bytes / stride_));
  held_cell cell(memory());
  const std::uint64_t ring = make_ring(memory(), *cell, std::min(slots_of(last) * 2, most), stride_);
  ring_header& old = header_of(memory(), last);
  g.set(old.end, tail);  // first: whoever sees `next` believes it
  g.set(old.next, ring);
  g.set(s.tail(), tail);
  g.set(s.last_ring(), ring);
  g.set(s.last_start(), tail);
  g.set(*cell, 0);
  g.commit();
}

/// Whether there is a message; `head` is then its ticket, and the first ring holds it.
bool queue_core::something_there(section_guard& g, std::uint64_t& head, drained_ring& drained) {
  head = state_->head().load(std::memory_order_relaxed);
  return head != state_->seen_tail().load(std::memory_order_relaxed) || look_again(g, head, drained);
}

bool queue_core::look_again(section_guard& g, std::uint64_t head, drained_ring& drained) {
  queue_state& s = *state_;
  const std::uint64_t tail = s.tail().load(std::memory_order_acquire);
  if (head == tail) return false;
  // The end of a ring is set before a message of the next is put; so with that message we see it.
  const ring_header* first = &header_of(memory(), s.first_ring().load(std::memory_order_relaxed));
  if (first->end.load(std::memory_order_acquire) == head &&
      first->next.load(std::memory_order_acquire) != 0) {
    next_ring(g, drained);
    first = &header_of(memory(), s.first_ring().load(std::memory_order_relaxed));
  }
  const std::uint64_t end = first->next.load(std::memory_order_acquire) != 0 ? first->end.load() : tail;
  s.seen_tail().store(std::min(tail, end), std::memory_order_relaxed);
  return true;
}

void queue_core::next_ring(section_guard& g, drained_ring& drained) {
  queue_state& s = *state_;
  drained.emplace(memory());
  const std::uint64_t old = s.first_ring().load(std::memory_order_relaxed);
  g.set(s.first_ring(), header_of(memory(), old).next.load(std::memory_order_relaxed));
  g.set(**drained, make_cell(held::block, cell_reference(old)));
  g.commit();
}

}  // namespace brood::detail
