// The queue on bytes. The states, and what a kill leaves at each step, are described in the header.
#include "brood/channel/detail/queue_core.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "brood/arena/detail/intent.hpp"
#include "brood/runtime/snapshot.hpp"

namespace brood::detail {
namespace {

constexpr std::uint64_t first_ring_slots = 64;

queue_state& state_at(arena& memory, reference block) {
  return *reinterpret_cast<queue_state*>(memory.base() + std::uint64_t{block} * granule +
                                         sizeof(block_header));
}
std::byte* payload_at(arena& memory, reference block) {
  return memory.base() + std::uint64_t{block} * granule + sizeof(block_header);
}
lease_record& record_at(arena& memory, reference block) {
  return *reinterpret_cast<lease_record*>(payload_at(memory, block));
}

constexpr std::uint64_t returned_count(std::uint64_t w) { return w >> 32; }
constexpr reference returned_first(std::uint64_t w) { return static_cast<reference>(w); }
constexpr std::uint64_t make_returned(std::uint64_t count, reference first) { return count << 32 | first; }

std::uint64_t ring_slots(std::uint64_t ring) { return std::uint64_t{1} << (cell_extra(ring) & 63); }

word& word_at(std::byte* place) { return *reinterpret_cast<word*>(place); }

/// A cell that goes back, with the block it may name, unless it is kept.
class cell_for {
 public:
  explicit cell_for(arena& memory) : memory_(memory), cell_(&memory.take_cell()) {}
  ~cell_for() {
    if (cell_ == nullptr) return;
    if (const std::uint64_t value = cell_->load(std::memory_order_relaxed); value != 0) {
      memory_.release(cell_reference(value), *cell_);
    }
    memory_.return_cell(*cell_);
  }
  cell_for(const cell_for&) = delete;
  cell_for& operator=(const cell_for&) = delete;
  word& operator*() const noexcept { return *cell_; }
  word* operator->() const noexcept { return cell_; }
  word* keep() noexcept { return std::exchange(cell_, nullptr); }

 private:
  arena& memory_;
  word* cell_;
};

// ---- what the arena does for queues ----

/// Frees the blocks of every message that is left. Each step clears its word in the transaction that frees.
void destroy_queue(arena& memory, reference block) {
  queue_state& s = state_at(memory, block);
  const std::uint64_t ring = s.ring.load(std::memory_order_acquire);
  if (cell_reference(ring) != 0) {
    std::byte* slots = payload_at(memory, cell_reference(ring));
    for (std::uint64_t t = s.head().load(); t != s.tail().load(); ++t) {
      std::byte* slot = slots + (t & (ring_slots(ring) - 1)) * s.stride;
      if ((word_at(slot).load() & large_message) != 0 && word_at(slot + 8).load() != 0) {
        memory.release(cell_reference(word_at(slot + 8).load()), word_at(slot + 8));
      }
      kill_point();
      s.head().store(t + 1, std::memory_order_release);
    }
    memory.release(cell_reference(ring), s.ring);
  }
  while (const reference first = returned_first(s.returned().load(std::memory_order_acquire))) {
    lease_record& record = record_at(memory, first);
    if (record.block.load() != 0) memory.release(cell_reference(record.block.load()), record.block);
    // The list is unlinked and the record freed in one step: `returned` is its holder, then set to the next.
    const std::uint64_t next = record.next.load();
    word& cell = memory.take_cell();
    {
      intent named(memory, block);
      section_guard g(memory, s.take_end);
      g.set(cell, make_cell(held::settled, first));
      g.set(s.returned(), next);
      g.commit();
    }
    memory.release(first, cell);
    memory.return_cell(cell);
  }
}

void repair_queue(arena& memory, reference block) {
  queue_state& s = state_at(memory, block);
  {
    section_guard g(memory, s.put_end);
  }
  {
    section_guard g(memory, s.take_end, &s.put_end);
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

const object_kind queue_functions{destroy_queue, repair_queue, nullptr, count_queue};

void put_back(arena& memory, queue_state& s, word& cell) {
  const reference block = cell_reference(cell.load(std::memory_order_acquire));
  lease_record& record = record_at(memory, block);
  const std::uint64_t ticket = record.ticket.load(std::memory_order_relaxed);
  section_guard g(memory, s.take_end, &s.put_end);
  const std::uint64_t all = g.get(s.returned());
  // Oldest first. Leases mostly come back in the order they were taken, and few are out at a time.
  reference next = returned_first(all);
  lease_record* before = nullptr;
  while (next != 0 && record_at(memory, next).ticket.load(std::memory_order_relaxed) < ticket) {
    before = &record_at(memory, next);
    next = static_cast<reference>(before->next.load(std::memory_order_relaxed));
  }
  record.next.store(next, std::memory_order_relaxed);
  if (before != nullptr) g.set(before->next, block);
  g.set(s.returned(),
        make_returned(returned_count(all) + 1, before != nullptr ? returned_first(all) : block));
  g.add(s.leases(), -std::uint64_t{1});
  g.set(cell, 0);
  g.commit();
}

/// After a settled lease: its message and its record.
void free_record(arena& memory, word& cell) {
  const reference block = cell_reference(cell.load(std::memory_order_acquire));
  lease_record& record = record_at(memory, block);
  if (const std::uint64_t message = record.block.load(std::memory_order_acquire); message != 0) {
    memory.release(cell_reference(message), record.block);
  }
  memory.release(block, cell);
}

void give_back_lease(arena& memory, word& cell) {
  const std::uint64_t value = cell.load(std::memory_order_acquire);
  if (cell_kind(value) == held::settled) return free_record(memory, cell);
  const auto queue =
      static_cast<reference>(record_at(memory, cell_reference(value)).queue.load(std::memory_order_relaxed));
  if (memory.payload(queue, queue_kind).size() < sizeof(queue_state)) return;
  queue_state& s = state_at(memory, queue);
  intent named(memory, queue);
  put_back(memory, s, cell);
  wake(memory, s.getters, 1);
}

const object_kind lease_functions{nullptr, nullptr, give_back_lease};

const bool registered = [] {
  register_object_kind(queue_kind, queue_functions);
  register_object_kind(lease_block, lease_functions);
  return true;
}();

}  // namespace

// ---- messages ----

outgoing_message::~outgoing_message() {
  if (cell_ == nullptr) return;
  const std::uint64_t value = cell_->load(std::memory_order_relaxed);
  if (value != 0) memory_->release(cell_reference(value), *cell_);
  memory_->return_cell(*cell_);
}

void outgoing_message::take(outgoing_message& other) noexcept {
  memory_ = other.memory_;
  cell_ = std::exchange(other.cell_, nullptr);
  size_ = other.size_;
  if (cell_ == nullptr && size_ != 0) std::memcpy(inline_, other.inline_, size_);
}

std::span<std::byte> outgoing_message::prepare(arena& memory, std::uint64_t bytes, std::size_t inline_bytes,
                                               const travelling_objects& objects) {
  size_ = bytes;
  const std::size_t attached = objects.objects().size();
  if (bytes <= inline_bytes && attached == 0) return {inline_, bytes};
  memory_ = &memory;
  cell_ = &memory.take_cell();
  reference block = 0;
  try {
    block = memory.allocate(attached * sizeof(word) + bytes, message_block, *cell_, held::block);
  } catch (...) {
    memory.return_cell(*std::exchange(cell_, nullptr));
    throw;
  }
  std::byte* payload = payload_at(memory, block);
  std::memset(static_cast<void*>(payload), 0, attached * sizeof(word));
  memory.at<block_header>(block).attached.store(attached, std::memory_order_release);
  for (std::size_t i = 0; i < attached; ++i) {
    const object_name name = objects.objects()[i]->name();
    const auto tag = memory.at<block_header>(name.block).tag.load(std::memory_order_relaxed);
    memory.acquire(name.block, static_cast<std::uint8_t>(tag & 0xff), name.generation,
                   word_at(payload + i * sizeof(word)));
  }
  return {payload + attached * sizeof(word), bytes};
}

incoming_message& incoming_message::operator=(incoming_message&& other) noexcept {
  if (this != &other) {
    reset();
    take(other);
  }
  return *this;
}

void incoming_message::take(incoming_message& other) noexcept {
  memory_ = other.memory_;
  cell_ = std::exchange(other.cell_, nullptr);
  size_ = other.size_;
  if (cell_ == nullptr && size_ != 0) std::memcpy(inline_, other.inline_, size_);
}

void incoming_message::reset() noexcept {
  if (cell_ == nullptr) return;
  const std::uint64_t value = cell_->load(std::memory_order_relaxed);
  if (cell_kind(value) == held::settled) {
    free_record(*memory_, *cell_);
  } else if (value != 0) {
    memory_->release(cell_reference(value), *cell_);
  }
  memory_->return_cell(*std::exchange(cell_, nullptr));
}

namespace {

[[noreturn]] void fail_corrupt() { throw error("a message in shared memory was overwritten"); }

/// What `head`, the first word of a slot, and the block say, checked.
std::span<const std::byte> block_bytes(arena& memory, reference block) {
  const auto payload = memory.payload(block, message_block);
  const std::uint64_t attached = memory.at<block_header>(block).attached.load(std::memory_order_relaxed);
  if (payload.data() == nullptr || attached > payload.size() / sizeof(word)) fail_corrupt();
  return payload.subspan(attached * sizeof(word));
}

std::span<const std::byte> record_bytes(arena& memory, reference block) {
  const auto payload = memory.payload(block, lease_block);
  if (payload.size() < sizeof(lease_record)) fail_corrupt();
  const lease_record& record = record_at(memory, block);
  const std::uint64_t head = record.head.load(std::memory_order_relaxed);
  if ((head & large_message) != 0) return block_bytes(memory, cell_reference(record.block.load()));
  if (head > payload.size() - sizeof(lease_record)) fail_corrupt();
  return payload.subspan(sizeof(lease_record), head);
}

}  // namespace

std::span<const std::byte> incoming_message::bytes() const {
  if (cell_ == nullptr) return {inline_, size_};
  const std::uint64_t value = cell_->load(std::memory_order_relaxed);
  const reference block = cell_reference(value);
  return cell_kind(value) == held::settled ? record_bytes(*memory_, block) : block_bytes(*memory_, block);
}

// ---- the queue ----

std::shared_ptr<queue_core> queue_core::create(arena& memory, std::uint64_t capacity,
                                               std::size_t inline_bytes) {
  if (capacity == 0)
    throw std::invalid_argument("brood::queue: a queue for no items; its capacity is at least 1");
  const std::uint64_t stride = 8 + rounded_inline(inline_bytes);
  const std::uint64_t slots = std::bit_ceil(std::min<std::uint64_t>(capacity, first_ring_slots));
  word& cell = memory.take_cell();
  try {
    const reference block = memory.allocate(sizeof(queue_state), queue_kind, cell, held::block, true);
    queue_state& s = state_at(memory, block);
    s.capacity = capacity;
    s.stride = stride;
    // Killed before the object is counted, the block goes and the ring must too: it has a cell of its own meanwhile.
    word& ring_cell = memory.take_cell();
    try {
      memory.allocate(slots * stride, storage_block, ring_cell, held::block);
    } catch (...) {
      memory.return_cell(ring_cell);
      memory.release(block, cell);
      throw;
    }
    auto core = std::make_shared<queue_core>(memory, block, cell);
    {
      intent named(memory, block);
      section_guard g(memory, s.put_end);
      g.set(s.ring, make_cell(held::block, cell_reference(ring_cell.load()),
                              static_cast<std::uint32_t>(std::countr_zero(slots))));
      g.set(ring_cell, 0);
      g.commit();
    }
    memory.return_cell(ring_cell);
    remember_object(core);
    return core;
  } catch (...) {
    if (cell.load() == 0) memory.return_cell(cell);
    throw;
  }
}

std::size_t queue_core::rounded_inline(std::size_t bytes) noexcept {
  return (8 + std::clamp<std::size_t>(bytes, 8, most_inline) + 15) / 16 * 16 - 8;
}

std::shared_ptr<queue_core> queue_core::open(arena& memory, object_name name) {
  if (auto known = std::dynamic_pointer_cast<queue_core>(find_object(name))) return known;
  auto core = std::make_shared<queue_core>(memory, name);
  remember_object(core);
  return core;
}

queue_core::queue_core(arena& memory, reference block, word& cell)
    : shared_object(memory, block, queue_kind, cell) {
  state_ = &checked_state();
}
queue_core::queue_core(arena& memory, object_name n) : shared_object(memory, n, queue_kind) {
  state_ = &checked_state();
}

queue_state& queue_core::checked_state() {
  queue_state& s = state_at(memory(), name().block);
  stride_ = s.stride;
  if (stride_ < 16 || stride_ > 8 + most_inline) fail_corrupt();
  inline_bytes_ = stride_ - 8;
  return s;
}

std::byte* queue_core::slot(std::uint64_t ticket) const noexcept {
  const std::uint64_t ring = state_->ring.load(std::memory_order_relaxed);
  return payload_at(memory(), cell_reference(ring)) + (ticket & (ring_slots(ring) - 1)) * stride_;
}

/// Room for one more, growing the ring if it has fewer slots than the queue may hold.
bool queue_core::has_room(section_guard& g, std::uint64_t tail) {
  queue_state& s = *state_;
  std::uint64_t limit = std::min(s.capacity, ring_slots(s.ring.load(std::memory_order_relaxed)));
  if (tail - s.seen_head().load(std::memory_order_relaxed) < limit) return true;
  const std::uint64_t head = s.head().load(std::memory_order_acquire);
  s.seen_head().store(head, std::memory_order_relaxed);
  if (tail - head < limit) return true;
  if (tail - head >= s.capacity) return false;
  grow(g, tail);
  return true;
}

void queue_core::grow(section_guard& g, std::uint64_t tail) {
  queue_state& s = *state_;
  const std::uint64_t old_ring = s.ring.load(std::memory_order_relaxed);
  const std::uint64_t old_slots = ring_slots(old_ring);
  word& cell = memory().take_cell();
  try {
    memory().allocate(old_slots * 2 * stride_, storage_block, cell, held::block);
  } catch (...) {
    memory().return_cell(cell);
    throw;
  }
  {
    section_guard other_end(memory(), s.take_end);  // ours is held: a dead holder of both is repaired already
    const reference block = cell_reference(cell.load(std::memory_order_relaxed));
    for (std::uint64_t t = s.head().load(std::memory_order_relaxed); t != tail; ++t) {
      std::memcpy(static_cast<void*>(payload_at(memory(), block) + (t & (old_slots * 2 - 1)) * stride_),
                  slot(t), stride_);
    }
    g.set(s.ring, make_cell(held::block, block, cell_extra(old_ring) + 1));
    g.set(cell, make_cell(held::block, cell_reference(old_ring)));
    g.commit();
  }
  memory().release(cell_reference(old_ring), cell);
  memory().return_cell(cell);
}

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
  memory().require_slot();
  intent named(memory(), name().block);
  {
    section_guard g(memory(), s.put_end);
    if (s.closed.load(std::memory_order_relaxed) != 0) return put_outcome::closed;
    const std::uint64_t tail = s.tail().load(std::memory_order_relaxed);
    if (!has_room(g, tail)) return put_outcome::full;
    std::byte* place = slot(tail);
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
  memory().require_slot();
  intent named(memory(), name().block);
  std::size_t done = 0;
  {
    section_guard g(memory(), s.put_end);
    if (s.closed.load(std::memory_order_relaxed) != 0) return 0;
    std::uint64_t tail = s.tail().load(std::memory_order_relaxed);
    for (; done < count && has_room(g, tail); ++done, ++tail) {
      std::byte* place = slot(tail);
      word_at(place).store(size, std::memory_order_relaxed);
      std::memcpy(static_cast<void*>(place + 8), messages + done * size, size);
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
    section_guard g(memory(), s.put_end);
    if (s.closed.load(std::memory_order_relaxed) != 0) return put_outcome::closed;
    const std::uint64_t tail = s.tail().load(std::memory_order_relaxed);
    if (!has_room(g, tail)) return put_outcome::full;
    std::byte* place = slot(tail);
    word_at(place).store(large_message, std::memory_order_relaxed);
    word_at(place + 8).store(message.cell_->load(std::memory_order_relaxed), std::memory_order_relaxed);
    g.set(*message.cell_, 0);
    g.set(s.tail(), tail + 1);
    g.commit();
  }
  wake_one(s.getters);
  memory().return_cell(*std::exchange(message.cell_, nullptr));
  return put_outcome::done;
}

/// Whether the ring holds a message; `head` is then its ticket.
bool queue_core::something_there(section_guard&, std::uint64_t& head) noexcept {
  queue_state& s = *state_;
  head = s.head().load(std::memory_order_relaxed);
  if (head != s.seen_tail().load(std::memory_order_relaxed)) return true;
  const std::uint64_t tail = s.tail().load(std::memory_order_acquire);
  s.seen_tail().store(tail, std::memory_order_relaxed);
  return head != tail;
}

/// Closed and drained, or only empty. A message out on lease may come back, so it is waited for.
take_outcome queue_core::nothing_left(section_guard& g) noexcept {
  queue_state& s = *state_;
  if (s.closed.load(std::memory_order_acquire) == 0 || g.get(s.leases()) != 0) return take_outcome::empty;
  // `closed` is set after the last put; look once more now that it is seen.
  const bool drained = s.head().load(std::memory_order_relaxed) == s.tail().load(std::memory_order_acquire) &&
                       g.get(s.returned()) == 0;
  return drained ? take_outcome::closed : take_outcome::empty;
}

/// Takes the first of the messages that came back into `cell`.
void queue_core::take_returned(section_guard& g, word& cell, held as) {
  queue_state& s = *state_;
  const std::uint64_t all = g.get(s.returned());
  const reference first = returned_first(all);
  g.set(
      s.returned(),
      make_returned(returned_count(all) - 1,
                    static_cast<reference>(record_at(memory(), first).next.load(std::memory_order_relaxed))));
  g.set(cell, make_cell(as, first));
  if (as == held::leased) g.add(s.leases(), 1);
  g.commit();
}

take_outcome queue_core::take(incoming_message& message) {
  queue_state& s = *state_;
  memory().require_slot();
  message.reset();
  message.memory_ = &memory();
  intent named(memory(), name().block);
  bool last_returned = false;
  {
    section_guard g(memory(), s.take_end, &s.put_end);
    std::uint64_t head = 0;
    if (returned_first(s.returned().load(std::memory_order_relaxed)) != 0) {
      message.cell_ = &memory().take_cell();
      take_returned(g, *message.cell_, held::settled);
      last_returned = g.get(s.leases()) == 0;
    } else if (!something_there(g, head)) {
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
  std::byte* place = slot(head);
  const std::uint64_t first = word_at(place).load(std::memory_order_relaxed);
  if ((first & large_message) != 0) {
    word& cell = memory().take_cell();
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
  if (bytes.size() != place.size()) fail_corrupt();
  std::memcpy(static_cast<void*>(place.data()), bytes.data(), place.size());
  return outcome;
}

take_outcome queue_core::take_inline(std::span<std::byte> place) {
  queue_state& s = *state_;
  if (returned_first(s.returned().load(std::memory_order_acquire)) != 0) return take_copy(place);
  memory().require_slot();
  intent named(memory(), name().block);
  {
    section_guard g(memory(), s.take_end, &s.put_end);
    std::uint64_t head = 0;
    if (!something_there(g, head)) return nothing_left(g);
    std::memcpy(static_cast<void*>(place.data()), slot(head) + 8, place.size());
    kill_point();
    s.head().store(head + 1, std::memory_order_release);
  }
  wake_one(s.putters);
  return take_outcome::done;
}

std::size_t queue_core::take_inline_many(std::byte* place, std::size_t size, std::size_t count) {
  queue_state& s = *state_;
  if (returned_first(s.returned().load(std::memory_order_acquire)) != 0) {
    return count != 0 && take_copy({place, size}) == take_outcome::done ? 1 : 0;
  }
  memory().require_slot();
  intent named(memory(), name().block);
  std::size_t taken = 0;
  {
    section_guard g(memory(), s.take_end, &s.put_end);
    std::uint64_t head = s.head().load(std::memory_order_relaxed);
    const std::uint64_t tail = s.tail().load(std::memory_order_acquire);
    s.seen_tail().store(tail, std::memory_order_relaxed);
    for (; taken < count && head != tail; ++taken, ++head) {
      std::memcpy(static_cast<void*>(place + taken * size), slot(head) + 8, size);
    }
    kill_point();
    s.head().store(head, std::memory_order_release);
  }
  if (taken != 0) wake_one(s.putters);
  return taken;
}

// ---- leases ----

take_outcome queue_core::take_leased(word*& lease) {
  queue_state& s = *state_;
  intent named(memory(), name().block);
  cell_for spare(memory());  // holds the record until it is a lease
  cell_for cell(memory());
  for (;;) {
    section_guard g(memory(), s.take_end, &s.put_end);
    if (returned_first(s.returned().load(std::memory_order_relaxed)) != 0) {
      take_returned(g, *cell, held::leased);
      break;
    }
    std::uint64_t head = 0;
    if (!something_there(g, head)) return nothing_left(g);
    if (spare->load(std::memory_order_relaxed) == 0) {
      memory().allocate(sizeof(lease_record) + inline_bytes_, lease_block, *spare, held::block);
    }
    const reference block = cell_reference(spare->load(std::memory_order_relaxed));
    lease_record& record = record_at(memory(), block);
    std::byte* place = slot(head);
    const std::uint64_t first = word_at(place).load(std::memory_order_relaxed);
    const bool large = (first & large_message) != 0;
    const std::uint64_t size = large ? 0 : std::min<std::uint64_t>(first, inline_bytes_);
    record.queue.store(name().block, std::memory_order_relaxed);
    record.ticket.store(head, std::memory_order_relaxed);
    record.head.store(large ? large_message : size, std::memory_order_relaxed);
    record.block.store(large ? word_at(place + 8).load(std::memory_order_relaxed) : 0,
                       std::memory_order_relaxed);
    std::memcpy(reinterpret_cast<std::byte*>(&record + 1), place + 8, size);
    g.set(*cell, make_cell(held::leased, block));
    g.set(*spare, 0);
    g.set(s.head(), head + 1);
    g.add(s.leases(), 1);
    g.commit();
    break;
  }
  wake_one(s.putters);
  lease = cell.keep();
  return take_outcome::done;
}

std::span<const std::byte> queue_core::leased_bytes(const word& cell) const {
  return record_bytes(memory(), cell_reference(cell.load(std::memory_order_relaxed)));
}

void queue_core::settle(word& cell) {
  queue_state& s = *state_;
  intent named(memory(), name().block);
  bool last = false;
  {
    section_guard g(memory(), s.take_end, &s.put_end);
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

// ---- the rest ----

void close_queue(arena& memory, reference queue) {
  queue_state& s = state_at(memory, queue);
  memory.require_slot();
  intent named(memory, queue);
  {
    section_guard g(memory, s.put_end);
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

std::uint64_t queue_core::size() const noexcept {
  queue_state& s = *state_;
  const std::uint64_t head = s.head().load(std::memory_order_acquire);
  const std::uint64_t tail = s.tail().load(std::memory_order_acquire);  // after the head, so never less
  return std::min(tail - head, s.capacity) + returned_count(s.returned().load(std::memory_order_relaxed));
}

void queue_core::task_done() {
  queue_state& s = *state_;
  memory().require_slot();
  intent named(memory(), name().block);
  {
    section_guard g(memory(), s.take_end, &s.put_end);
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
