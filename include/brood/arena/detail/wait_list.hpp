// wait_list: processes' coroutines that wait for something in shared memory, first in, first out.
//
// A waiter enqueues its entry and then looks again at what it waits for; whoever makes progress possible does so and
// then looks at `count`. Between the two stores and the two loads stands a full barrier on both sides, so at least one
// of them sees the other: no wake-up is lost. (tests/model/wait_list.pml is this argument, checked exhaustively.)
// A wake is an advice to try again, not a grant: a waiter that is cancelled has nothing to give back but the advice,
// which it passes on to the next (`leave` does), as is done for one that died.
// Repair after a kill, by the next to lock the section or by whoever cleans up after the dead:
//   enqueue, leave   transactions: happened or did not; the dead one's entries are then taken out
//   wake             taking the head out, its state and `delivering` are one transaction; the bit in the waiter's
//                    process is set after it and again by a repair that finds `delivering` set; the datagram is named
//                    in the waker's `intent_ring` before `delivering` is cleared, and sent again by its clean-up
#pragma once

#include "brood/arena/arena.hpp"

namespace brood::detail {

struct wait_list {
  section guard;    // guard.local: see below
  // guard.local[0] ends: last << 32 | first, references of entries
  // guard.local[1] count: also read without the section
  // guard.local[2] owner of the entry being delivered, [3] its home; 0 when none
  word& ends() noexcept { return guard.local[0]; }
  word& count() noexcept { return guard.local[1]; }
  word& delivering_owner() noexcept { return guard.local[2]; }
  word& delivering_home() noexcept { return guard.local[3]; }
};
static_assert(sizeof(wait_list) % 64 == 0);

/// Whether anyone waits. For a waker, after a full barrier that follows its progress.
inline bool has_waiters(wait_list& list) noexcept { return list.count().load(std::memory_order_relaxed) != 0; }

/// Puts an idle entry of this process at the end, or back at the front if it was woken and found nothing. A full
/// barrier follows, so that the caller may look again at what it waits for.
void enqueue(arena& memory, wait_list& list, wait_entry& entry, bool at_front);
/// Takes the entry out, wherever it is; if it had been woken, wakes the next. `served`: it found what it waited for,
/// so there is nothing to pass on.
void leave(arena& memory, wait_list& list, wait_entry& entry, bool served);
/// Wakes the first `most` waiters; gives how many.
std::uint64_t wake(arena& memory, wait_list& list, std::uint64_t most);
/// Finishes what a dead process left half done.
void repair(arena& memory, wait_list& list);

}  // namespace brood::detail
