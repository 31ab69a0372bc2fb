// semaphore_core: a count of permits that are free, and of those that somebody holds.
//
// Both stand in one word, and change in one transaction with the cell of who takes or gives a permit back. So
// at any instruction each permit is either free or named by one cell, and a dead process's cells give theirs
// back. A `release` of permits nobody holds changes the word only.
#pragma once

#include "brood/arena/detail/wait_list.hpp"
#include "brood/export.hpp"
#include "brood/sync/detail/primitive.hpp"

namespace brood::detail {

struct semaphore_state {
  std::uint64_t bound;  // the most there may be, free and held; set before anyone else sees it
  std::uint64_t spare[7];
  section guard;  // local: see below
  wait_list waiters;

  word& permits() noexcept { return guard.local[0]; }  // held << 32 | free
  word& turns() noexcept { return guard.local[1]; }    // see acquire.hpp
};
static_assert(sizeof(semaphore_state) == 64 + sizeof(section) + sizeof(wait_list));

inline constexpr std::uint64_t most_permits = 0x7fffffff;

class BROOD_API semaphore_core : public primitive<semaphore_state> {
 public:
  static constexpr std::uint8_t kind_number = semaphore_kind;
  static constexpr const char* traced_as = "semaphore";
  struct claim {
    word* cell = nullptr;
  };

  semaphore_core(arena& memory, reference block, word& cell)
      : semaphore_core(memory, block, semaphore_kind, cell) {}
  semaphore_core(arena& memory, object_name name) : semaphore_core(memory, name, semaphore_kind) {}

  /// `in_turn`: by one that was woken for it.
  bool acquire(claim& taken, bool in_turn);
  void release(claim& taken);
  /// The permit is nobody's any more: free only once somebody calls `add`.
  void detach(claim& taken);
  /// `count` permits more. Throws `error`, and changes nothing, if that is more than the bound.
  void add(std::uint64_t count);
  void passed_over();
  void nudge();
  bool more() const noexcept { return value() != 0; }
  std::uint64_t value() const noexcept;
  wait_list& waiters() noexcept { return state().waiters; }

 protected:
  semaphore_core(arena& memory, reference block, std::uint8_t kind, word& cell)
      : primitive(memory, block, kind, cell) {}
  semaphore_core(arena& memory, object_name name, std::uint8_t kind) : primitive(memory, name, kind) {}

 private:
  void wake_one();
};

class bounded_semaphore_core final : public semaphore_core {
 public:
  static constexpr std::uint8_t kind_number = bounded_semaphore_kind;
  bounded_semaphore_core(arena& memory, reference block, word& cell)
      : semaphore_core(memory, block, bounded_semaphore_kind, cell) {}
  bounded_semaphore_core(arena& memory, object_name name)
      : semaphore_core(memory, name, bounded_semaphore_kind) {}
};

}  // namespace brood::detail
