// queue_core: the queue without its type: messages as bytes, in shared memory.
//
// Two sections, one for the putting end and one for the taking end, so that a producer and a consumer meet only at the
// counters. Tickets count up for ever; a message's slot is its ticket modulo the size of the ring.
//   put    holding the putting end: write slot `tail`, then tail+1 (one word: the commit; with a large message a
//          transaction with the cell that held its block)
//   take   holding the taking end: copy slot `head` out, then head+1 (likewise)
//   grow   holding both ends: copy to a ring twice as large, then one transaction in the putting end's journal
// A producer killed before its commit has put nothing, one killed after it has put; no third state exists, so there
// is nothing to repair in the ring itself. That is why this is not the lock-free ring of slots with claims: it needs
// no states in the slots and no repair of claims, takes batches at one go, and its taker waits for a stopped putter
// no more than a ring's would, which must stop at the first claimed slot to stay in order.
//
// Leases: `take_leased` moves the message to a record of its own (lease_block), named by the holder's cell as `leased`.
//   leased --settle: one transaction with the counters--> settled --> freed
//      \--give back, by the holder or by who cleans up after it--> in the list `returned`, by ticket --> taken again
//
// Between commit and wake the queue stands in the process's `intent_object`, so a clean-up after it wakes in its place.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "brood/arena/detail/shared_object.hpp"
#include "brood/arena/detail/wait_list.hpp"
#include "brood/export.hpp"

namespace brood::detail {

inline constexpr std::uint64_t unlimited = UINT64_MAX;

struct queue_state {
  // Set before anyone else sees it.
  std::uint64_t capacity;  // items, or `unlimited`
  std::uint64_t stride;    // bytes of a slot; all but the first 8 hold the message
  word spare0[2];
  word ring;    // cell (held::block) of the ring; extra: log2 of its slots. One word, so that both change at
                // once
  word closed;  // 0 or 1; set holding the putting end
  word spare1[2];

  section put_end;  // local: see below
  section take_end;
  wait_list getters;
  wait_list putters;
  wait_list joiners;

  word& tail() noexcept { return put_end.local[0]; }
  word& seen_head() noexcept {
    return put_end.local[1];
  }  // what the putting end last saw of the other, and back
  word& head() noexcept { return take_end.local[0]; }
  word& seen_tail() noexcept { return take_end.local[1]; }
  word& returned() noexcept { return take_end.local[2]; }  // count << 32 | first lease record
  word& leases() noexcept { return take_end.local[3]; }    // messages out on lease
  word& finished() noexcept { return take_end.local[4]; }  // by task_done or a settled lease
};

/// A message out on lease, payload of a lease_block.
struct lease_record {
  word queue;  // reference
  word next;   // in `returned`
  word ticket;
  word head;   // first word of its slot
  word block;  // of a large message: cell (held::block); else the bytes follow
  word spare[3];
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
  static std::shared_ptr<queue_core> create(arena& memory, std::uint64_t capacity, std::size_t inline_bytes);
  static std::shared_ptr<queue_core> open(arena& memory, object_name name);

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
  std::uint64_t capacity() const noexcept { return state_->capacity; }
  /// Throws `error` if more tasks are done than were put.
  void task_done();
  bool all_done() const noexcept;

  wait_list& getters() noexcept { return state_->getters; }
  wait_list& putters() noexcept { return state_->putters; }
  wait_list& joiners() noexcept { return state_->joiners; }

 private:
  std::byte* slot(std::uint64_t ticket) const noexcept;
  bool has_room(section_guard& g, std::uint64_t tail);
  void grow(section_guard& g, std::uint64_t tail);
  take_outcome nothing_left(section_guard& g) noexcept;
  bool something_there(section_guard& g, std::uint64_t& head) noexcept;
  void take_slot(section_guard& g, std::uint64_t head, incoming_message& message);
  take_outcome take_copy(std::span<std::byte> place);
  void take_returned(section_guard& g, word& cell, held as);
  void wake_one(wait_list& list);
  void wake_all(wait_list& list);
  queue_state& checked_state();

  queue_state* state_ = nullptr;
  std::size_t inline_bytes_ = 0;
  std::uint64_t stride_ = 0;
};

}  // namespace brood::detail
