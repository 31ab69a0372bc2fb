// arena: shared memory with crash-safe allocation, and the table of the processes that use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "brood/arena/detail/doorbell.hpp"
#include "brood/arena/detail/layout.hpp"
#include "brood/arena/process_id.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/export.hpp"

namespace brood {

/// The arena (or the process table) has no room for what was asked. Nothing has changed.
class BROOD_API arena_full : public error {
 public:
  arena_full() : error("the shared memory arena is full; give brood::options a larger one") {}
  using error::error;
};

struct arena_statistics {
  std::uint64_t bytes_total = 0;     // address space for blocks
  std::uint64_t bytes_used = 0;      // in allocated blocks, rounding included
  std::uint64_t bytes_resident = 0;  // pages that really exist, of the whole memfd
  std::uint64_t blocks = 0;
  std::uint64_t processes = 0;  // slots in use
  std::vector<std::pair<std::uint64_t, std::uint64_t>>
      classes;  // size of a block with its header, blocks in use
};

/// A process whose parent died, to be watched by the one who cleaned up after that.
struct orphan {
  process_id id;
  int pid;     // 0: it was never made, and will not be
  bool ended;  // it has been reaped; the clean-up after it was interrupted
};

namespace detail {
/// Who is told of a wake, in the process that waits.
struct waiter {
  void (*woken)(waiter&) noexcept = nullptr;
};
}  // namespace detail

/// One memfd mapped into every process of a family. A sparse file: only pages that were written cost memory, large
/// freed blocks are punched out again beyond a reserve of warm pages.
/// Crash safety: every change is a transaction of a `detail::section`, and records the new owner in the same step, so
/// a process that is killed anywhere leaves each block either free or named in one of its cells.
/// Lifetime: the destructor unmaps and closes; the memory goes with the last process that maps it.
class BROOD_API arena {
 public:
  /// A new memfd, sealed against shrinking and growing. The caller has no slot yet.
  /// Throws `std::system_error` with the failing call.
  static std::unique_ptr<arena> create(std::size_t size);
  /// Maps an inherited one; owns `fd`. Throws `std::system_error`, or `error` if it is not an arena of this version.
  static std::unique_ptr<arena> attach(int fd);
  ~arena();
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;

  int fd() const noexcept { return fd_; }
  std::size_t size() const noexcept { return size_; }
  arena_statistics statistics() const;

  // ---- blocks ----

  /// A block of `size` bytes, zeroed if `zero`, recorded in `holder` as `as` in the same atomic step. `block_kind` is a tag
  /// for checks. Throws `arena_full`.
  detail::reference allocate(std::uint64_t size, std::uint8_t block_kind, detail::word& holder,
                             detail::held as, bool zero = false);
  /// Frees a block, first the references attached to it, and sets `holder` to `then` in the same step.
  void release(detail::reference block, detail::word& holder, std::uint64_t then = 0);
  /// Payload of an allocated block of this kind; empty if `block` is not one (a hostile or stale reference).
  std::span<std::byte> payload(detail::reference block, std::uint8_t block_kind) noexcept;
  std::uint32_t generation_of(detail::reference block) const noexcept;

  // ---- counted references ----

  /// Counts one reference more and records it in `holder`, if `block` is still the object of that kind and generation;
  /// otherwise false.
  bool acquire(detail::reference block, std::uint8_t block_kind, std::uint32_t generation,
               detail::word& holder);
  /// Counts one less, clears `holder`, and takes the object apart if it was the last. If this process is taking another one
  /// apart already, that happens after it: a chain of objects in each other's messages needs no stack.
  void drop(detail::reference block, detail::word& holder);

  // ---- this process's cells ----

  /// A cell that is empty, for one of the functions above. Throws `arena_full`.
  detail::word& take_cell();
  /// Gives an empty cell back.
  void return_cell(detail::word& cell) noexcept;

  // ---- processes ----

  // Documented at `family_memory`, which passes them on.

  process_id reserve_slot();
  void adopt_slot(process_id id);
  /// Adopts it when this process first needs one: most children never touch shared memory, and its pages would cost
  /// them more than the rest of their start. Only for a process without handles.
  void adopt_slot_when_needed(process_id id) noexcept { to_adopt_ = id; }
  bool note_pid(process_id id, int pid) noexcept;
  int pid_of(process_id id) const noexcept;
  /// In a fork: forgets the slot, which is the parent's. From then on nothing is held here, taking anything throws
  /// `forked_process`, and giving back does nothing. Only stores: another thread may have been at work.
  void forget_slot() noexcept;
  /// The same in a clone that has closed the descriptors.
  void disown() noexcept;
  void on_death(process_id id) noexcept;
  process_id self() const noexcept { return process_id::of_word(me_); }
  /// The word of `self`, or 0 without a slot.
  std::uint64_t me() const noexcept { return me_; }
  bool is_dead(std::uint64_t owner) noexcept;
  std::optional<orphan> next_orphan() noexcept;
  void watch_orphan(process_id id) noexcept;

  // ---- wait entries ----

  /// An idle entry; `who` is told when it is woken. Throws `arena_full`.
  detail::wait_entry& take_wait_entry(detail::waiter& who);
  void return_wait_entry(detail::wait_entry& entry) noexcept;
  /// Sets the bit that wakes an entry of another process. Idempotent.
  void deliver(std::uint64_t owner, std::uint64_t home) noexcept;
  /// Sends the datagram that ends the sleep of `owner`'s loop, if it sleeps (or `always`).
  /// Does not wait on the thread of a loop: what cannot be sent at once is sent later, see lib/arena/late_rings.hpp.
  void ring(std::uint64_t owner, bool always = false) noexcept;
  /// The datagram alone. False if it can only be sent later, as the system refuses it now.
  bool press_doorbell(std::uint32_t slot) noexcept;
  /// Rings everybody who has a wake. False if some can only be rung later. O(processes).
  bool ring_all_woken() noexcept;
  /// Waits until the doorbell may work again. Not for the thread of a loop.
  void await_doorbell() const noexcept { doorbell_.await_room(); }
  /// Opens the socket for that, so that later no wake fails for want of a descriptor. Called before this process can
  /// owe anyone a wake. Throws `std::system_error`.
  void prepare_to_ring();
  /// Whether that process's loop sleeps, as far as one can know.
  bool is_asleep(std::uint64_t owner) const noexcept;
  /// Tells the waiter of every entry whose bit was set since the last call. Bits may be set for nothing.
  void drain() noexcept;
  /// Wait entries of this process that are in use.
  std::size_t waiting() const noexcept { return waits_total_ - free_waits_.size(); }
  bool anything_woken() const noexcept {
    return my_slot_ != nullptr && my_slot_->woken.load(std::memory_order_seq_cst) != 0;
  }

  // ---- addresses ----

  detail::arena_header& header() const noexcept { return *reinterpret_cast<detail::arena_header*>(base_); }
  std::byte* base() const noexcept { return base_; }
  /// No check: for references this process got from a section it holds.
  template <class T>
  T& at(detail::reference r) const noexcept {
    return *reinterpret_cast<T*>(base_ + std::uint64_t{r} * detail::granule);
  }
  std::byte* payload_at(detail::reference block) const noexcept {
    return base_ + std::uint64_t{block} * detail::granule + sizeof(detail::block_header);
  }
  /// The payload of a block as the state of an object.
  template <class State>
  State& state_at(detail::reference block) const noexcept {
    return *reinterpret_cast<State*>(payload_at(block));
  }
  template <class T>
  detail::reference to_reference(const T& object) const noexcept {
    return static_cast<detail::reference>(
        static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&object) - base_) / detail::granule);
  }
  std::uint64_t offset_of(const detail::word& w) const noexcept {
    return static_cast<std::uint64_t>(reinterpret_cast<const std::byte*>(&w) - base_);
  }
  detail::process_slot& slot_at(std::uint32_t slot) const noexcept;
  detail::process_slot& my_slot() const noexcept { return *my_slot_; }
  void require_slot();

  void lock(detail::section& s);
  void unlock(detail::section& s) noexcept;

  /// True every so many calls: time to let the loop's other coroutines run. A datagram counts for many, as it costs what
  /// they do together, and who is woken by it may take our processor.
  bool time_to_yield() noexcept {
    constexpr std::uint64_t most = 256;
    constexpr std::uint64_t for_a_ring = 32;
    if (++calls_ + for_a_ring * (rings_sent - rings_at_yield_) < most) return false;
    calls_ = 0;
    rings_at_yield_ = rings_sent;
    return true;
  }

  /// The one thread of this process that awaits what lies here, as `thread_here` names it; null: none yet.
  bool is_used_by(const void* thread) const noexcept { return user_ == thread; }
  void used_by(const void* thread) noexcept { user_ = thread; }
  bool is_used() const noexcept { return user_ != nullptr; }

  std::uint64_t rings_sent = 0;  // datagrams this process sent

 private:
  friend class detail::section_guard;

  arena(int fd, std::size_t size);
  static std::unique_ptr<arena> create_exactly(std::uint64_t bytes);
  void map();
  void lay_out();
  void lock_contended(detail::section& s);
  void replay(detail::section& s) noexcept;

  detail::unit& unit_at(std::uint64_t index) const noexcept;
  std::uint64_t heap_offset(std::uint64_t unit_index) const noexcept;
  void push_free(detail::section_guard& g, std::uint64_t index, unsigned order, bool warm);
  void unlink_free(detail::section_guard& g, std::uint64_t index, unsigned order);
  void unlink_partial(detail::section_guard& g, std::uint64_t index, unsigned cls);
  void push_partial(detail::section_guard& g, std::uint64_t index, unsigned cls);
  std::uint64_t buddy_of_order(detail::section_guard& g, unsigned order);
  void merge(detail::section_guard& g, std::uint64_t index, unsigned order);
  detail::reference allocate_small(detail::section_guard& g, unsigned cls, std::uint64_t size,
                                   std::uint64_t kind, detail::word& holder, detail::held as);
  detail::reference allocate_large(detail::section_guard& g, std::uint64_t size, std::uint64_t kind,
                                   detail::word& holder, detail::held as);
  void free_block(detail::reference block, detail::word& holder, std::uint64_t then);
  void release_attached(detail::reference block);
  void take_apart(detail::word& holder);
  void punch(std::uint64_t offset, std::uint64_t size) noexcept;
  detail::block_header* checked_header(detail::reference block) const noexcept;

  detail::word& cell_at(detail::process_slot& s, unsigned chunk, std::uint32_t index) const noexcept;
  void add_cell_chunk();
  void add_wait_chunk();
  void tell(unsigned chunk, std::uint32_t index) noexcept;
  void reset_local();
  bool is_my_child(process_id id) const noexcept;
  void add_to_family(detail::section_guard& g, std::uint32_t slot, detail::word& list);
  void leave_family(detail::section_guard& g, std::uint32_t slot, detail::process_slot& parent);
  void reclaim(std::uint32_t slot);
  void repair_intents(detail::process_slot& dead);
  void leave_wait_lists(detail::process_slot& dead);
  void empty_cells(detail::process_slot& dead, bool objects);
  void inherit_children(detail::process_slot& dead);
  void give_back(detail::word& cell);
  void free_slot(std::uint32_t slot);

  int fd_ = -1;
  std::size_t size_ = 0;
  std::byte* base_ = nullptr;
  std::uint64_t me_ = 0;
  detail::process_slot* my_slot_ = nullptr;
  detail::word* dying_ = nullptr;  // names the object that this process is taking apart
  const void* user_ = nullptr;     // the thread that awaits
  std::uint64_t calls_ = 0;        // of time_to_yield, since it was
  std::uint64_t rings_at_yield_ = 0;
  detail::doorbell doorbell_;
  process_id to_adopt_;

  // What is free in this process's own part; nobody else needs to know.
  std::vector<detail::word*> free_cells_;
  std::vector<detail::reference> free_waits_;
  std::size_t waits_total_ = 0;
  std::vector<detail::waiter*> waiters_;  // by index of the entry
  unsigned cell_chunks_ = 0;
  unsigned wait_chunks_ = 0;
};

struct snapshot;

namespace detail {

class shared_object;

/// What the arena must do for the objects of one kind (a queue, a lock, ...). Kinds register themselves in the source
/// file that defines them.
struct object_kind {
  /// Takes the object apart down to its own block. Called again from the start if the process doing it is killed.
  void (*destroy)(arena&, reference);
  /// A process died in the middle of changing it: finish what is committed, wake who may wait.
  void (*repair)(arena&, reference);
  /// A dead process's cell of kind `leased` or `custom` names it: give back what the cell says, and clear it.
  void (*give_back)(arena&, word& cell);
  /// Adds what there is to know of it, if it is something that a snapshot counts.
  void (*count)(shared_object&, snapshot&) = nullptr;
};

// What a block holds. All in one place, as two kinds with one number would be repaired as one.
inline constexpr std::uint8_t message_block = 1;
inline constexpr std::uint8_t chunk_block = 2;
inline constexpr std::uint8_t buffer_block = 3;
inline constexpr std::uint8_t lease_block = 4;
inline constexpr std::uint8_t storage_block = 5;
inline constexpr std::uint8_t name_block = 6;
inline constexpr std::uint8_t first_object_kind = 16;  // from here on: counted objects
inline constexpr std::uint8_t queue_kind = 16;
inline constexpr std::uint8_t pipe_end_kind = 17;
inline constexpr std::uint8_t buffer_kind = 18;
inline constexpr std::uint8_t fd_kind = 19;
inline constexpr std::uint8_t lock_kind = 20;
inline constexpr std::uint8_t rlock_kind = 21;
inline constexpr std::uint8_t semaphore_kind = 22;
inline constexpr std::uint8_t bounded_semaphore_kind = 23;
inline constexpr std::uint8_t event_kind = 24;
inline constexpr std::uint8_t condition_kind = 25;
inline constexpr std::uint8_t barrier_kind = 26;
inline constexpr std::uint8_t lane_kind = 27;
inline constexpr std::uint8_t hub_kind = 28;

/// Aborts if the number is taken.
BROOD_API void register_object_kind(std::uint8_t block_kind, const object_kind& functions) noexcept;
BROOD_API const object_kind* find_object_kind(std::uint8_t block_kind) noexcept;
}  // namespace detail
}  // namespace brood
