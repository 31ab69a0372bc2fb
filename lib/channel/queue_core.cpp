// The queue on bytes: puts and takes. The states, and what a kill leaves at each step, are described in the header.
#include "brood/channel/detail/queue_core.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "brood/arena/detail/intent.hpp"
#include "channel/queue_records.hpp"

namespace brood::detail {
namespace {

const bool registered = [] {
  register_object_kind(queue_core::kind_number, queue_core::kind_functions);
  return true;
}();

word& word_at(std::byte* place) { return *reinterpret_cast<word*>(place); }

}  // namespace

// ---- making and opening ----

std::shared_ptr<queue_core> queue_core::create(arena& memory, std::uint64_t capacity,
                                               std::size_t inline_bytes) {
  if (capacity == 0)
    throw std::invalid_argument("brood::queue: a queue for no items; its capacity is at least 1");
  auto core = create_object<queue_core>(memory, sizeof(queue_state), true, [&](reference block) {
    auto& s = memory.map.state_at<queue_state>(block);
    s.capacity = capacity;
    s.stride = 8 + rounded_inline(inline_bytes);
  });
  core->make_first_ring();
  return core;
}

std::size_t queue_core::rounded_inline(std::size_t bytes) noexcept {
  return (8 + std::clamp<std::size_t>(bytes, 8, most_inline) + 15) / 16 * 16 - 8;
}

queue_core::queue_core(arena& memory, reference block, word& cell)
    : shared_object(memory, block, queue_kind, cell) {
  state_ = &checked_state();
}
queue_core::queue_core(arena& memory, object_name n) : shared_object(memory, n, queue_kind) {
  state_ = &checked_state();
}

queue_state& queue_core::checked_state() {
  auto& s = memory().map.state_at<queue_state>(name().block);
  stride_ = s.stride;
  if (stride_ < 16 || stride_ > 8 + most_inline) fail_overwritten();
  inline_bytes_ = stride_ - 8;
  return s;
}

// ---- putting ----

void queue_core::wake_one(wait_list& list) {
  wake_barrier();
  if (needs_wake(list)) wake(memory(), list, 1);
}
void queue_core::wake_all(wait_list& list) {
  wake_barrier();
  if (has_waiters(list)) wake(memory(), list, unlimited);
}

put_outcome queue_core::put_inline(std::span<const std::byte> message) {
  queue_state& s = *state_;
  memory().processes.require_slot();
  intent named(memory(), name().block);
  {
    section_guard g(memory().processes, s.put_end);
    if (s.closed.load(std::memory_order_relaxed) != 0) return put_outcome::closed;
    const std::uint64_t tail = s.tail().load(std::memory_order_relaxed);
    if (!has_room(g, tail)) return put_outcome::full;
    std::byte* place = slot(s.last_ring().load(std::memory_order_relaxed), tail);
    word_at(place).store(message.size(), std::memory_order_relaxed);
    kill_point();
    std::memcpy(static_cast<void*>(place + 8), message.data(), message.size());
    kill_point();
    s.tail().store(tail + 1, std::memory_order_release);
  }
  wake_one(s.getters);
  return put_outcome::done;
}

std::size_t queue_core::put_inline_many(const std::byte* messages, std::size_t size, std::size_t count) {
  queue_state& s = *state_;
  memory().processes.require_slot();
  intent named(memory(), name().block);
  std::size_t done = 0;
  {
    section_guard g(memory().processes, s.put_end);
    if (s.closed.load(std::memory_order_relaxed) != 0) return 0;
    std::uint64_t tail = s.tail().load(std::memory_order_relaxed);
    try {
      for (; done < count && has_room(g, tail); ++done, ++tail) {
        std::byte* place = slot(s.last_ring().load(std::memory_order_relaxed), tail);
        word_at(place).store(size, std::memory_order_relaxed);
        std::memcpy(static_cast<void*>(place + 8), messages + done * size, size);
      }
    } catch (const arena_full&) {
      if (done == 0) throw;  // else the next call does
    }
    kill_point();
    s.tail().store(tail, std::memory_order_release);
  }
  if (done != 0) wake_one(s.getters);
  return done;
}

put_outcome queue_core::put(outgoing_message& message) {
  if (message.cell_ == nullptr) return put_inline({message.inline_, message.size_});
  queue_state& s = *state_;
  intent named(memory(), name().block);
  {
    section_guard g(memory().processes, s.put_end);
    if (s.closed.load(std::memory_order_relaxed) != 0) return put_outcome::closed;
    const std::uint64_t tail = s.tail().load(std::memory_order_relaxed);
    if (!has_room(g, tail)) return put_outcome::full;
    std::byte* place = slot(s.last_ring().load(std::memory_order_relaxed), tail);
    word_at(place).store(large_message, std::memory_order_relaxed);
    word_at(place + 8).store(message.cell_->load(std::memory_order_relaxed), std::memory_order_relaxed);
    g.set(*message.cell_, 0);
    g.set(s.tail(), tail + 1);
    g.commit();
  }
  wake_one(s.getters);
  memory().heap.return_cell(*std::exchange(message.cell_, nullptr));
  return put_outcome::done;
}

// ---- taking ----

/// Closed and drained, or only empty. A message out on lease may come back, so it is waited for.
take_outcome queue_core::nothing_left(section_guard& g) noexcept {
  queue_state& s = *state_;
  if (s.closed.load(std::memory_order_acquire) == 0 || g.get(s.leases()) != 0) return take_outcome::empty;
  // `closed` is set after the last put; look once more now that it is seen.
  const bool drained = s.head().load(std::memory_order_relaxed) == s.tail().load(std::memory_order_acquire) &&
                       g.get(s.returned()) == 0;
  return drained ? take_outcome::closed : take_outcome::empty;
}

take_outcome queue_core::take(incoming_message& message) {
  queue_state& s = *state_;
  memory().processes.require_slot();
  message.reset();
  message.memory_ = &memory();
  intent named(memory(), name().block);
  drained_ring drained;
  bool last_returned = false;
  {
    section_guard g(memory().processes, s.take_end);
    std::uint64_t head = 0;
    if (s.returned().load(std::memory_order_relaxed) != 0) {
      message.cell_ = &memory().heap.take_cell();
      take_returned(g, *message.cell_, held::settled);
      last_returned = g.get(s.leases()) == 0;
    } else if (!something_there(g, head, drained)) {
      return nothing_left(g);
    } else {
      take_slot(g, head, message);
    }
  }
  // Those who wait at a closed queue wait for leases to come back; with this one gone nothing may come any more.
  if (last_returned && is_closed()) wake_all(s.getters);
  wake_one(s.putters);
  return take_outcome::done;
}

void queue_core::take_slot(section_guard& g, std::uint64_t head, incoming_message& message) {
  queue_state& s = *state_;
  std::byte* place = slot(s.first_ring().load(std::memory_order_relaxed), head);
  const std::uint64_t first = word_at(place).load(std::memory_order_relaxed);
  if ((first & large_message) != 0) {
    word& cell = memory().heap.take_cell();
    g.set(cell, make_cell(held::block, cell_reference(word_at(place + 8).load(std::memory_order_relaxed))));
    g.set(s.head(), head + 1);
    g.commit();
    message.cell_ = &cell;
  } else {
    message.size_ = std::min<std::uint64_t>(first, inline_bytes_);
    std::memcpy(message.inline_, place + 8, message.size_);
    kill_point();
    s.head().store(head + 1, std::memory_order_release);
  }
}

/// The slow way of the two below: a message that came back.
take_outcome queue_core::take_copy(std::span<std::byte> place) {
  incoming_message message;
  const take_outcome outcome = take(message);
  if (outcome != take_outcome::done) return outcome;
  const auto bytes = message.bytes();
  if (bytes.size() != place.size()) fail_overwritten();
  std::memcpy(static_cast<void*>(place.data()), bytes.data(), place.size());
  return outcome;
}

take_outcome queue_core::take_inline(std::span<std::byte> place) {
  queue_state& s = *state_;
  if (s.returned().load(std::memory_order_acquire) != 0) return take_copy(place);
  memory().processes.require_slot();
  intent named(memory(), name().block);
  drained_ring drained;
  {
    section_guard g(memory().processes, s.take_end);
    std::uint64_t head = 0;
    if (!something_there(g, head, drained)) return nothing_left(g);
    std::memcpy(static_cast<void*>(place.data()),
                slot(s.first_ring().load(std::memory_order_relaxed), head) + 8, place.size());
    kill_point();
    s.head().store(head + 1, std::memory_order_release);
  }
  wake_one(s.putters);
  return take_outcome::done;
}

std::size_t queue_core::take_inline_many(std::byte* place, std::size_t size, std::size_t count) {
  queue_state& s = *state_;
  if (s.returned().load(std::memory_order_acquire) != 0) {
    return count != 0 && take_copy({place, size}) == take_outcome::done ? 1 : 0;
  }
  std::size_t taken = 0;
  while (taken < count) {
    const std::size_t more = take_from_ring(place + taken * size, size, count - taken);
    taken += more;
    if (more == 0 || size_in_rings() == 0) break;
  }
  return taken;
}

std::size_t queue_core::take_from_ring(std::byte* place, std::size_t size, std::size_t count) {
  queue_state& s = *state_;
  memory().processes.require_slot();
  intent named(memory(), name().block);
  drained_ring drained;
  std::size_t taken = 0;
  {
    section_guard g(memory().processes, s.take_end);
    std::uint64_t head = s.head().load(std::memory_order_relaxed);
    if (!look_again(g, head, drained)) return 0;
    const std::uint64_t ring = s.first_ring().load(std::memory_order_relaxed);
    const std::uint64_t end = s.seen_tail().load(std::memory_order_relaxed);
    for (; taken < count && head != end; ++taken, ++head) {
      std::memcpy(static_cast<void*>(place + taken * size), slot(ring, head) + sizeof(word), size);
    }
    kill_point();
    s.head().store(head, std::memory_order_release);
  }
  wake_one(s.putters);
  return taken;
}

// ---- the rest ----

void close_queue(arena& memory, reference queue) {
  auto& s = memory.map.state_at<queue_state>(queue);
  memory.processes.require_slot();
  intent named(memory, queue);
  {
    section_guard g(memory.processes, s.put_end);
    s.closed.store(1, std::memory_order_release);
  }
  wake_barrier();
  // What is out on lease may come back, so who waits goes on waiting; who settles the last lease wakes them.
  if (s.leases().load(std::memory_order_acquire) == 0 && has_waiters(s.getters)) {
    wake(memory, s.getters, unlimited);
  }
  if (has_waiters(s.putters)) wake(memory, s.putters, unlimited);
}

void queue_core::wake_waiters() {
  wake_all(state_->getters);
  wake_all(state_->putters);
}

std::uint64_t queue_core::size_in_rings() const noexcept {
  const std::uint64_t head = state_->head().load(std::memory_order_acquire);
  const std::uint64_t tail = state_->tail().load(std::memory_order_acquire);  // after the head, so never less
  return std::min(tail - head, state_->capacity);
}

std::uint64_t queue_core::size() const noexcept {
  return size_in_rings() + state_->returned().load(std::memory_order_relaxed);
}

void queue_core::task_done() {
  queue_state& s = *state_;
  memory().processes.require_slot();
  intent named(memory(), name().block);
  {
    section_guard g(memory().processes, s.take_end);
    const std::uint64_t finished = s.finished().load(std::memory_order_relaxed);
    if (finished >= s.tail().load(std::memory_order_acquire)) {
      throw error("brood::queue::task_done: called more often than items were put");
    }
    s.finished().store(finished + 1, std::memory_order_release);
  }
  wake_barrier();
  if (all_done()) wake_all(s.joiners);
}

bool queue_core::all_done() const noexcept {
  return state_->finished().load(std::memory_order_acquire) >= state_->tail().load(std::memory_order_acquire);
}

}  // namespace brood::detail
