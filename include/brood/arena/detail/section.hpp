// section: a short critical section in shared memory that survives the death of its holder at any instruction.
//
// State machine of `owner` (all by compare-and-swap, so that the claim and the name of the claimer appear together):
//   0 --lock--> me --unlock--> 0          acquire on entry, release on exit: what one holder wrote, the next one sees
//   dead --lock--> me, replay             only after the owner was found dead (process table, then its pidfd)
//   owner --contender--> owner | sleepers  somebody sleeps on the word (futex(2)) and is to be woken at unlock
// A change of several words is a transaction: its stores are written to the journal, `pending` is set to their number
// (release: the commit), they are applied, `pending` goes back to 0. A holder killed before the commit changed
// nothing; one killed after it has its stores applied again by the next holder, which is harmless, as they are values
// and not differences. A holder killed in that repair leaves the same state behind. A change of one word needs no
// journal: the store is the commit.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "brood/arena/detail/kill_point.hpp"
#include "brood/export.hpp"

namespace brood::detail {

class mapping;
class process_table;

/// Every mutable word of shared memory: fixed width, lock-free, so it works at different addresses in two processes.
using word = std::atomic<std::uint64_t>;
static_assert(word::is_always_lock_free && sizeof(word) == 8);

inline constexpr std::size_t journal_capacity = 20;

struct journal_entry {
  std::uint64_t offset;  // of a word, from the start of the arena
  std::uint64_t value;
};

struct section {
  word owner;     // 0, or generation << 32 | sleepers << 31 | slot
  word pending;   // committed journal entries that may not be applied yet
  word local[6];  // words the section protects that are wanted in the cache line of the lock
  journal_entry journal[journal_capacity];
};
static_assert(sizeof(section) == 64 + 16 * journal_capacity && offsetof(section, journal) == 64);

/// Holds a section from construction to destruction, and gathers a transaction.
/// Blocks only while another process is inside, which is for tens of nanoseconds unless it was stopped there.
class BROOD_API section_guard {
 public:
  /// Claims it in the name of this process.
  section_guard(process_table& claimant, section& s);
  ~section_guard();
  section_guard(const section_guard&) = delete;
  section_guard& operator=(const section_guard&) = delete;

  /// Adds a store to the transaction. Throws `std::logic_error` if the journal is full.
  void set(word& target, std::uint64_t value);
  /// The value as the transaction would leave it.
  std::uint64_t get(const word& target) const noexcept;
  void add(word& target, std::uint64_t difference) { set(target, get(target) + difference); }
  /// Makes all stores since the last commit happen, as one for every process that dies.
  void commit() noexcept;

 private:
  process_table& claimant_;
  mapping& map_;
  section& section_;
  std::uint32_t count_ = 0;
};

inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

}  // namespace brood::detail
