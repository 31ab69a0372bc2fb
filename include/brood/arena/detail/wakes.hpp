// wakes: the waits of this process in shared memory, and how one process ends another's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "brood/arena/detail/doorbell.hpp"
#include "brood/arena/detail/heap.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// Who is told of a wake, in the process that waits.
struct waiter {
  void (*woken)(waiter&) noexcept = nullptr;
};

/// A wake is a bit in shared memory, and a datagram if the loop of that process sleeps. The states of an entry are drawn at
/// `wait_entry`; the argument why no wake is lost is in wake_port.hpp.
class BROOD_API wakes {
 public:
  wakes(mapping& map, process_table& processes, heap& blocks) noexcept
      : map_(map), processes_(processes), heap_(blocks) {}

  // ---- this process's waits ----

  /// An idle entry; `who` is told when it is woken. Throws `arena_full`.
  wait_entry& take_wait_entry(waiter& who);
  void return_wait_entry(wait_entry& entry) noexcept;
  /// Wait entries of this process that are in use.
  std::size_t waiting() const noexcept { return is_mine() ? waits_total_ - free_waits_.size() : 0; }
  bool anything_woken() const noexcept {
    return processes_.has_slot() && processes_.my_slot().woken.load(std::memory_order_seq_cst) != 0;
  }
  /// Tells the waiter of every entry whose bit was set since the last call. Bits may be set for nothing.
  void drain() noexcept;

  // ---- those of others ----

  /// Sets the bit that wakes an entry of another process. Idempotent.
  void deliver(std::uint64_t owner, std::uint64_t home) noexcept;
  /// Sends the datagram that ends the sleep of `owner`'s loop, if it sleeps (or `always`).
  /// Does not wait on the thread of a loop: what cannot be sent at once is sent later, see lib/arena/late_rings.hpp.
  void ring(std::uint64_t owner, bool always = false) noexcept;
  /// Rings everybody who has a wake. False if some can only be rung later. O(processes).
  bool ring_all_woken() noexcept;
  /// Waits until the doorbell may work again. Not for the thread of a loop.
  void await_doorbell() const noexcept { doorbell_.await_room(); }
  /// 1 while datagrams are owed, which the clean-up after this process would send; see late_rings.hpp.
  word& debt() noexcept { return processes_.my_slot().owes_rings; }
  /// Opens the socket for that, so that later no wake fails for want of a descriptor. Called before this process can
  /// owe anyone a wake. Throws `std::system_error`.
  void prepare_to_ring() { doorbell_.open(); }
  /// Whether that process's loop sleeps, as far as one can know.
  bool is_asleep(std::uint64_t owner) const noexcept;

  /// With a new slot: the socket, if there is one, is that of the process this one was forked from.
  void start_anew() noexcept;
  /// In a fork: the thread that awaited is the parent's.
  void forget() noexcept { user_ = nullptr; }
  /// The same in a clone that has closed the descriptors.
  void forget_doorbell() noexcept { doorbell_.forget(); }

  // ---- the thread that waits ----

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
  bool is_mine() const noexcept { return waits_of_ == processes_.me(); }
  void take_own_entries();
  void add_wait_chunk();
  word* bitmap_of(reference chunk) const noexcept { return reinterpret_cast<word*>(map_.payload_at(chunk)); }
  void tell(unsigned chunk, std::uint32_t index) noexcept;
  bool press_doorbell(std::uint32_t slot) noexcept;

  mapping& map_;
  process_table& processes_;
  heap& heap_;
  doorbell doorbell_;
  const void* user_ = nullptr;  // the thread that awaits
  std::uint64_t calls_ = 0;     // of time_to_yield, since it was
  std::uint64_t rings_at_yield_ = 0;

  // Entries that are free in this process's own slot; nobody else needs to know.
  std::uint64_t waits_of_ = 0;  // whose: another process starts anew
  std::vector<reference> free_waits_;
  std::size_t waits_total_ = 0;
  std::vector<waiter*> waiters_;  // by index of the entry
  unsigned wait_chunks_ = 0;
};

}  // namespace brood::detail
