// family_memory: the one arena that all processes of a family share, and this process's place in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "brood/export.hpp"

namespace brood {

class arena;
class runtime;

/// A process that lost its parent while that was being cleaned up after; see `family_memory::take_orphans`.
struct orphan {
  std::uint32_t slot;
  int pid;  // 0 if it was not yet running
};

/// The family's memory, the library's single process-wide object besides the fork server. Every process of a family
/// has the same memfd and a slot of its own in its table.
/// Life of a slot: free --reserve_slot--> reserved --adopt_slot--> live --on_death--> dead --> free. The process that
/// reserved it calls `on_death`; if that one dies first, whoever cleans up after it inherits the duty (`take_orphans`).
/// Thread: the functions that change anything belong to the thread that runs the loop; a process has one such thread.
class BROOD_API family_memory {
 public:
  /// Makes the memory and gives the calling process a slot. `size`, in bytes, is address space; only touched pages are memory.
  /// Forks inherit it. Throws `std::system_error` (memfd_create, ftruncate, mmap), `std::logic_error` if it exists.
  static void create(std::size_t size);
  /// Maps an inherited memfd in an exec'd image. The caller has no slot until `adopt_slot`. Takes ownership of `memfd`.
  /// Throws `std::system_error`, or `decode_error`-like `error` if it is not the memory of this version of brood.
  static void attach(int memfd);
  /// Unmaps and closes. For tests, and for the end of a process that wants to prove that nothing is left.
  static void detach() noexcept;

  static bool exists() noexcept;
  /// The memfd (close-on-exec), or -1.
  static int fd() noexcept;
  /// The arena. Throws `std::logic_error` if neither `create` nor `attach` was called.
  static arena& get();

  /// A slot for a child that is about to be started. Throws `arena_full` when the table is full.
  static std::uint32_t reserve_slot();
  /// Called first thing in the child: makes `slot` this process's own. Handles copied by fork are counted anew, so the
  /// parent must keep its own until this returned. Throws `std::logic_error` if the slot was not reserved.
  static void adopt_slot(std::uint32_t slot);
  /// The same, at the first use of shared memory if the process has no handles yet, as most children never use it.
  static void adopt_slot_when_needed(std::uint32_t slot);
  /// In a clone of a process that will not use shared memory itself, such as the fork server: forgets the slot and the
  /// descriptors that are not its own. The memory stays mapped, for its clones.
  static void disown() noexcept;
  /// This process's slot; 0 if it has none.
  static std::uint32_t slot() noexcept;
  /// Called once the process of `slot` is reaped (or was never started): takes it out of every wait list, hands back
  /// what it held, wakes who waited for that, frees the slot. May be called again after a crash; unknown slots are ignored.
  static void on_death(std::uint32_t slot);
  /// Children of processes that `on_death` cleaned up after, reserved by them and not reported dead yet. The caller is
  /// now the one to watch them (by pidfd) and to call `on_death`.
  static std::vector<orphan> take_orphans();
  /// Calls `on_death` for every taken orphan whose process is gone; gives how many. O(orphans).
  static std::size_t sweep_orphans();

  /// Makes the loop of this process wakeable: opens the wake port, watches it and guards the loop's sleep. Called by
  /// the first wait; calling it again does nothing.
  static void attach_loop(runtime& loop);
};

}  // namespace brood
