// wait_list: processes' coroutines that wait for something in shared memory, first in, first out.
//
// A waiter enqueues its entry and then looks again at what it waits for; whoever makes progress possible does so and
// then looks at `count`. Between the two stores and the two loads stands a full barrier on both sides, so at least one
// of them sees the other: no wake-up is lost. (tests/model/wait_list.pml is this argument, checked exhaustively.)
// A wake is an advice to try again, not a grant: a waiter that is cancelled has nothing to give back but the advice,
// which it passes on to the next (`leave` does), as is done for one that died.
// One at a time: while a process that was woken out of its sleep is on its way, who makes more progress wakes nobody
// else; the woken one looks, after it has been served and is no longer counted, whether there is more for others, and
// wakes the next. So a burst costs one wake-up and not one a message. A wake of a process that was not asleep is not
// counted, as it may be busy for long, nor is one that has not arrived for a few milliseconds (it was stopped, say).
// Repair after a kill, by the next to lock the section or by whoever cleans up after the dead:
//   enqueue, leave   transactions: happened or did not; the dead one's entries are then taken out
//   wake             taking the head out, its state and `delivering` are one transaction; the bit in the waiter's
//                    process is set after it and again by a repair that finds `delivering` set; the datagram is named
//                    in the waker's `intent_ring` before `delivering` is cleared, and sent again by its clean-up
#pragma once

#include <time.h>

#include "brood/arena/arena.hpp"
#include "brood/export.hpp"

namespace brood::detail {

struct wait_list {
  section guard;  // guard.local: see below
  // guard.local[0] ends: last << 32 | first, references of entries
  // guard.local[1] count: also read without the section
  // guard.local[2] owner of the entry being delivered, [3] its home; 0 when none
  word& ends() noexcept { return guard.local[0]; }
  word& count() noexcept { return guard.local[1]; }
  word& delivering_owner() noexcept { return guard.local[2]; }
  word& delivering_home() noexcept { return guard.local[3]; }
  // guard.local[4] entries woken that have not tried again yet << 32 | those of them that were woken out of a sleep
  word& on_their_way() noexcept { return guard.local[4]; }
  // guard.local[5] when the last of them was woken, by `coarse_clock`
  word& last_wake() noexcept { return guard.local[5]; }
};
static_assert(sizeof(wait_list) % 64 == 0);

/// Milliseconds; cheap, and right to a few of them.
inline std::uint64_t coarse_clock() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}
inline constexpr std::uint64_t wake_overdue = 10;

/// Whether anyone waits. For a waker, after a full barrier that follows its progress.
inline bool has_waiters(wait_list& list) noexcept {
  return list.count().load(std::memory_order_relaxed) != 0;
}
/// Whether anybody waits, or was woken and has not tried again yet.
inline bool is_anyone_due(wait_list& list) noexcept {
  return has_waiters(list) || list.on_their_way().load(std::memory_order_relaxed) != 0;
}
/// Whether to wake one: somebody waits, and nobody is on the way who will look after the others.
inline bool needs_wake(wait_list& list) noexcept {
  if (!has_waiters(list)) return false;
  return static_cast<std::uint32_t>(list.on_their_way().load(std::memory_order_relaxed)) == 0 ||
         coarse_clock() - list.last_wake().load(std::memory_order_relaxed) > wake_overdue;
}

/// Puts an idle entry of this process at the end, or back at the front if it was woken and found nothing. A full
/// barrier follows, so that the caller may look again at what it waits for.
BROOD_API void enqueue(arena& memory, wait_list& list, wait_entry& entry, bool at_front);
/// Takes the entry out, wherever it is; true if it had been woken. Then the caller owes `settle_wake`, before which it
/// is still named as the one who looks after the next.
BROOD_API bool leave(arena& memory, wait_list& list, wait_entry& entry);
/// `for_others`: the wake was not used, or there is more: wakes the next.
BROOD_API void settle_wake(arena& memory, wait_list& list, bool for_others);
/// Wakes the first `most` of those who wait now; gives how many. To wake everybody is for what stays true, so that
/// nobody who was woken waits on.
/// Does not touch a list where nobody waits, also if a dead process left it half changed: see `repair`.
BROOD_API std::uint64_t wake(arena& memory, wait_list& list, std::uint64_t most);
/// Finishes what a dead process left half done.
BROOD_API void repair(arena& memory, wait_list& list);

}  // namespace brood::detail
