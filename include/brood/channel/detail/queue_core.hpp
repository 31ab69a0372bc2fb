// queue_core: the queue without its type: messages as bytes, in shared memory.
//
// Two sections, one for the putting end and one for the taking end, so that a producer and a consumer meet only at the
// counters. Tickets count up for ever. The messages are in a chain of rings; nearly always there is one. A message's slot is
// its ticket modulo the number of slots of its ring.
//   put    holding the putting end: write slot `tail` of the last ring, then tail+1 (one word: the commit; with a large
//          message a transaction with the cell that held its block)
//   take   holding the taking end: copy slot `head` of the first ring out, then head+1 (likewise)
//   grow   holding the putting end, when the last ring is full: one transaction appends a larger ring, for tickets from
//          `tail` on. Nothing is copied, and no taker is in the way.
//   drain  holding the taking end, when `head` has come to the end of the first ring: one transaction moves on to the next;
//          the old one is freed after the end is left.
// A producer killed before its commit has put nothing, one killed after it has put; no third state exists, so there
// is nothing to repair in the rings themselves. That is why this is not the lock-free ring of slots with claims: it needs
// no states in the slots and no repair of claims, takes batches at one go, and its taker waits for a stopped putter
// no more than a ring's would, which must stop at the first claimed slot to stay in order.
//
// Leases: `take_leased` moves the message to a record of its own (lease_block), named by the holder's cell as `leased`.
//   leased --settle: one transaction with the counters--> settled --> freed
//      \--give back, by the holder or by who cleans up after it--> in the list `returned`, by ticket --> taken again
// The list is a skip list (Pugh 1990): a killed consumer's leases come back in any order, and there may be many of them.
//
// Between commit and wake the queue stands in the process's `intent_object`, so a clean-up after it wakes in its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "brood/arena/detail/object_kit.hpp"
#include "brood/arena/detail/wait_list.hpp"
#include "brood/export.hpp"

namespace brood::detail {

inline constexpr std::uint64_t unlimited = UINT64_MAX;

/// The links of a skip list from one place to the records after it, two references in a word. A record has a link in a level
/// with a quarter of the probability of the level below.
inline constexpr unsigned link_levels = 8;
using shared_links = word[link_levels / 2];

struct queue_state {
  // Set before anyone else sees it.
  std::uint64_t capacity;  // items, or `unlimited`
  std::uint64_t stride;    // bytes of a slot; all but the first 8 hold the message
  word closed;             // 0 or 1; set holding the putting end
  word discarded;          // cell: what a clean-up of the queue is freeing
  shared_links returned_list;

  section put_end;  // local: see below
  section take_end;
  wait_list getters;
  wait_list putters;
  wait_list joiners;

  word& tail() noexcept { return put_end.local[0]; }
  word& seen_head() noexcept { return put_end.local[1]; }  // what the putting end last saw of the other
  word& last_ring() noexcept { return put_end.local[2]; }
  word& last_start() noexcept { return put_end.local[3]; }  // first ticket of the last ring
  word& head() noexcept { return take_end.local[0]; }
  word& seen_tail() noexcept { return take_end.local[1]; }  // tickets before it are in the first ring
  word& returned() noexcept { return take_end.local[2]; }   // messages in `returned_list`
  word& leases() noexcept { return take_end.local[3]; }     // messages out on lease
  word& finished() noexcept { return take_end.local[4]; }   // by task_done or a settled lease
  word& first_ring() noexcept {
    return take_end.local[5];
  }  // holds the first, which holds the next, and so on
};
static_assert(offsetof(queue_state, put_end) == 64);

/// Rings are named by a cell word (held::block; extra: log2 of the slots), so that both change at once. The slots follow.
struct ring_header {
  word next;  // the ring after it; 0 in the last one
  word
      end;  // ticket with which `next` begins; 0 in the last one. Set before the first message of `next` is put
  word spare[6];
};
static_assert(sizeof(ring_header) == 64);

/// A message out on lease, payload of a lease_block.
struct lease_record {
  word queue;  // reference
  word ticket;
  word head;          // first word of its slot
  word block;         // of a large message: cell (held::block); else the bytes follow
  shared_links next;  // in `returned_list`
};
static_assert(sizeof(lease_record) == 64);

inline constexpr std::uint64_t large_message = std::uint64_t{1} << 63;
inline constexpr std::size_t most_inline = 248;

/// A message on its way in: bytes that fit a slot, or a block of the arena with the objects it refers to attached.
/// Owns the block until it is put. Moves only.
class BROOD_API outgoing_message {
 public:
  outgoing_message() = default;
  outgoing_message(outgoing_message&& other) noexcept { take(other); }
  outgoing_message& operator=(outgoing_message&&) = delete;
  ~outgoing_message();

  /// Room for `size` bytes. Throws `arena_full`.
  std::span<std::byte> prepare(arena& memory, std::uint64_t size, std::size_t inline_bytes,
                               const travelling_objects& objects);

  /// The message that `write(std::span<std::byte>)` writes, with the objects whose handles it encodes. `write` gives
  /// the size; it is called twice if the message turns out to need a block. Throws what it throws, and `arena_full`.
  template <class Write>
  void fill(arena& memory, std::size_t inline_bytes, const Write& write) {
    travelling_objects objects;
    const std::size_t size = write(std::span<std::byte>(inline_, inline_bytes));
    if (size <= inline_bytes && objects.objects().empty()) {
      size_ = size;
    } else {
      write(prepare(memory, size, inline_bytes, objects));
    }
  }

 private:
  friend class queue_core;
  void take(outgoing_message& other) noexcept;

  arena* memory_ = nullptr;
  word* cell_ = nullptr;
  std::uint64_t size_ = 0;
  std::byte inline_[most_inline];
};

/// A message that was taken: this process's. Frees its block.
class BROOD_API incoming_message {
 public:
  incoming_message() = default;
  incoming_message(incoming_message&& other) noexcept { take(other); }
  incoming_message& operator=(incoming_message&& other) noexcept;
  ~incoming_message() { reset(); }

  /// Throws `error` if what the queue said of it cannot be.
  std::span<const std::byte> bytes() const;
  void reset() noexcept;

 private:
  friend class queue_core;
  void take(incoming_message& other) noexcept;

  arena* memory_ = nullptr;
  word* cell_ = nullptr;  // `block`: the message's own; `settled`: a lease record and its message
  std::uint64_t size_ = 0;
  std::byte inline_[most_inline];
};

/// What `queue_core::close` does, for one who only has the queue's name. Closing twice is fine.
BROOD_API void close_queue(arena& memory, reference queue);

enum class put_outcome { done, full, closed };
enum class take_outcome { done, empty, closed };

class BROOD_API queue_core final : public shared_object {
 public:
  static constexpr std::uint8_t kind_number = queue_kind;
  static const object_kind kind_functions;
  static std::shared_ptr<queue_core> create(arena& memory, std::uint64_t capacity, std::size_t inline_bytes);

  queue_core(arena& memory, reference block, word& cell);
  queue_core(arena& memory, object_name name);

  /// What a slot for so many bytes really holds.
  static std::size_t rounded_inline(std::size_t size) noexcept;
  /// Largest message that needs no block.
  std::size_t inline_bytes() const noexcept { return inline_bytes_; }

  put_outcome put(outgoing_message& message);
  /// Bytes that fit a slot. The fast path.
  put_outcome put_inline(std::span<const std::byte> message);
  /// As many of `count` messages of `size` bytes each as there is room for; 0 also if closed.
  std::size_t put_inline_many(const std::byte* messages, std::size_t size, std::size_t count);

  take_outcome take(incoming_message& message);
  /// Like `take` into memory of exactly that size, for messages of one fixed size.
  take_outcome take_inline(std::span<std::byte> place);
  std::size_t take_inline_many(std::byte* place, std::size_t size, std::size_t count);

  /// `cell` gets the lease: held::leased.
  take_outcome take_leased(word*& cell);
  std::span<const std::byte> leased_bytes(const word& cell) const;
  void settle(word& cell);
  void give_back(word& cell);

  void close() { close_queue(memory(), name().block); }
  /// Makes everyone who waits try again.
  void wake_waiters();
  bool is_closed() const noexcept { return state_->closed.load(std::memory_order_acquire) != 0; }
  std::uint64_t size() const noexcept;
  bool is_full() const noexcept { return size_in_rings() >= capacity(); }
  std::uint64_t capacity() const noexcept { return state_->capacity; }
  /// Throws `error` if more tasks are done than were put.
  void task_done();
  bool all_done() const noexcept;

  wait_list& getters() noexcept { return state_->getters; }
  wait_list& putters() noexcept { return state_->putters; }
  wait_list& joiners() noexcept { return state_->joiners; }

 private:
  std::uint64_t size_in_rings() const noexcept;
  /// A ring that was drained: freed when it goes out of scope, after the section.
  using drained_ring = std::optional<held_cell>;

  void make_first_ring();
  bool has_room(section_guard& g, std::uint64_t tail);
  void grow(section_guard& g, std::uint64_t tail);
  void next_ring(section_guard& g, drained_ring& drained);
  std::byte* slot(std::uint64_t ring, std::uint64_t ticket) const noexcept;
  take_outcome nothing_left(section_guard& g) noexcept;
  bool something_there(section_guard& g, std::uint64_t& head, drained_ring& drained);
  bool look_again(section_guard& g, std::uint64_t head, drained_ring& drained);
  void take_slot(section_guard& g, std::uint64_t head, incoming_message& message);
  take_outcome take_copy(std::span<std::byte> place);
  std::size_t take_from_ring(std::byte* place, std::size_t size, std::size_t count);
  void take_returned(section_guard& g, word& cell, held as);
  void wake_one(wait_list& list);
  void wake_all(wait_list& list);
  queue_state& checked_state();

  queue_state* state_ = nullptr;
  std::size_t inline_bytes_ = 0;
  std::uint64_t stride_ = 0;
};

}  // namespace brood::detail
