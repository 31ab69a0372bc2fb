// family_memory: the one arena that all processes of a family share, and this process's place in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "brood/arena/process_id.hpp"
#include "brood/export.hpp"

namespace brood {

class arena;
class runtime;
struct orphan;

/// The family's memory, the library's single process-wide object besides the fork server. Every process of a family
/// has the same memfd and a slot of its own in its table.
/// Life of a slot: free --reserve_slot--> reserved --adopt_slot--> live --on_death--> dead --> free. The process that
/// reserved it calls `on_death`; if that one dies first, whoever cleans up after it inherits the duty (`next_orphan`).
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
  /// The arena. Throws `std::logic_error` if neither `create` nor `attach` was called, and `forked_process` in a fork of the
  /// application's own, until that adopts a slot.
  static arena& get();

  /// A slot for a child that is about to be started. Throws `arena_full` when the table is full.
  static process_id reserve_slot();
  /// Called first thing in the child: makes the slot this process's own. Handles copied by fork are counted anew, so the
  /// parent must keep its own until this returned. Throws `std::logic_error` if it was not reserved, or was taken back.
  static void adopt_slot(process_id id);
  /// The same, at the first use of shared memory if the process has no handles yet, as most children never use it.
  static void adopt_slot_when_needed(process_id id);
  /// Says which process has the slot, before that process itself does. False if the slot was taken back.
  static bool note_pid(process_id id, int pid) noexcept;
  /// 0 if no process is known.
  static int pid_of(process_id id) noexcept;
  /// In a clone of a process that will not use shared memory itself, such as the fork server: forgets the slot and the
  /// descriptors that are not its own. The memory stays mapped, for its clones.
  static void disown() noexcept;
  /// This process; nobody if it has no slot.
  static process_id self() noexcept;
  /// Called by its parent once the process is reaped (or will never be made): takes it out of every wait list, hands back
  /// what it held, wakes who waited for that, frees the slot. Nothing happens if that was done before, or is another's.
  static void on_death(process_id id) noexcept;
  /// A process that lost its parent while that was being cleaned up after, if there is one: this process is now the one
  /// to watch it by its pid, which it says by `watch_orphan`, and to call `on_death`. The same again until it does either.
  static std::optional<orphan> next_orphan() noexcept;
  static void watch_orphan(process_id id) noexcept;
  /// The opposite: a child that this process does not watch any more, which `next_orphan` names again.
  static void unwatch_orphan(process_id id) noexcept;
  /// For a process without a place which knows that the family's first process is dead, whom nobody cleans up after. 0: it has
  /// a place now, and the first process is an orphan of its own. Otherwise the pid of the one that is at it, to be watched as
  /// it may be killed; -1: too many were. Throws `std::bad_alloc`; whoever ends then is followed by the next.
  static int become_caretaker();

  /// Makes the loop of this process wakeable: opens the wake port, watches it and guards the loop's sleep. Called by
  /// the first wait; calling it again does nothing.
  static void attach_loop(runtime& loop);
};

}  // namespace brood
