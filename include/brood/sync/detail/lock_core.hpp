// lock_core: one word in shared memory that names who holds the lock.
//
//   free --compare-and-swap--> held by me     acquire; the claim and the name of the claimer appear together
//   held by me --exchange--> free             release, seq_cst: before the look at who waits
//   held by a dead process --its clean-up--> free, abandoned --> held by the next, who is told
//
// The cell that leads the clean-up to the lock is set before the word and cleared after the wake that follows
// the release; whether the dead one held the lock, the word says. So a kill between any two steps leaves at
// worst a cell for nothing, for which one waiter is woken for nothing.
#pragma once

#include "brood/arena/detail/wait_list.hpp"
#include "brood/export.hpp"
#include "brood/sync/detail/primitive.hpp"

namespace brood::detail {

struct lock_state {
  word owner;  // 0, or generation << 32 | slot, or `was_abandoned`
  word turns;  // see acquire.hpp; written by who holds the lock
  word spare[6];
  wait_list waiters;
};
static_assert(sizeof(lock_state) == 64 + sizeof(wait_list));

class BROOD_API lock_core : public primitive<lock_state> {
 public:
  static constexpr std::uint8_t kind_number = lock_kind;
  static constexpr const char* traced_as = "lock";
  struct claim {
    word* cell = nullptr;
    bool abandoned = false;
  };

  lock_core(arena& memory, reference block, word& cell) : lock_core(memory, block, lock_kind, cell) {}
  lock_core(arena& memory, object_name name) : lock_core(memory, name, lock_kind) {}

  /// `in_turn`: by one that was woken for it.
  bool acquire(claim& taken, bool in_turn);
  void release(claim& taken) noexcept;
  void passed_over() noexcept;
  void nudge();
  static constexpr bool more() noexcept { return false; }
  bool is_held() const noexcept;
  wait_list& waiters() noexcept { return state().waiters; }

 protected:
  lock_core(arena& memory, reference block, std::uint8_t kind, word& cell)
      : primitive(memory, block, kind, cell) {}
  lock_core(arena& memory, object_name name, std::uint8_t kind) : primitive(memory, name, kind) {}
};

/// Held by a process, as often as its coroutines like. How often is nobody else's business, so it is counted
/// here.
class BROOD_API rlock_core final : public lock_core {
 public:
  static constexpr std::uint8_t kind_number = rlock_kind;
  static constexpr const char* traced_as = "rlock";
  struct claim {
    bool abandoned = false;
  };

  rlock_core(arena& memory, reference block, word& cell) : lock_core(memory, block, rlock_kind, cell) {}
  rlock_core(arena& memory, object_name name) : lock_core(memory, name, rlock_kind) {}

  bool acquire(claim& taken, bool in_turn);
  void release(claim& taken) noexcept;

 private:
  lock_core::claim held_;
  std::uint64_t depth_ = 0;
  std::uint64_t owner_ = 0;  // whom `depth_` is of: a fork inherits it and holds nothing
};

}  // namespace brood::detail
