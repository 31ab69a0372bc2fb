// The table of a parent's children in memory that it shares with its fork server and them.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "brood/coroutine/executor.hpp"
#include "process/protocol.hpp"
#include "runtime/crash_record.hpp"
#include "system/memory_file.hpp"

namespace brood::detail {

/// One child. State machine:
///
///   pid 0          free, or requested and not made yet
///   pid N          written by the kernel while it makes the child (CLONE_PARENT_SETTID), before the child runs: there
///                  is no moment at which the child exists and its slot does not say so, even if the fork server is
///                  killed. So after a server's death the parent knows exactly which requests were carried out.
///   failed, error  written by the child if it cannot be set up, before it ends
///   stop_by        0 until the parent asks the child to stop; written before the signal that says so is sent, and again
///                  with an earlier time; the child only reads it
///   pid 0 again    written by the parent just before it reaps the child, so as long as the parent lives a pid found here is
///                  never a reused one
///
/// The parent alone assigns slots. The server reads the table when the parent is dead, to kill the process groups of
/// what is left.
struct spawn_slot {
  pid_t pid;
  stage failed;
  std::int32_t error;
  std::uint16_t detached;  // written by the parent with the request: not to be killed with it
  std::uint16_t crashed;   // written by a child that dies of a crash, behind its crash_record
  std::uint64_t stop_by;  // on the steady clock, in nanoseconds: when the child is killed unless it has ended
};
static_assert(sizeof(spawn_slot) == 24);

class spawn_table {
 public:
  static constexpr std::uint32_t slots = 1u << 20;  // sparse: only those in use cost memory

  spawn_table() = default;
  static unique_fd make_file();
  /// Maps the table in `file`, which stays the caller's.
  explicit spawn_table(int file);

  spawn_slot& operator[](std::uint32_t slot) const noexcept;
  pid_t pid(std::uint32_t slot) const noexcept;
  /// To be called before the child is reaped.
  void release_pid(std::uint32_t slot) const noexcept;
  void clear(std::uint32_t slot) const noexcept;
  /// What the child of that slot leaves behind if it crashes, in a program with brood-traces; untouched memory, and so none, if
  /// it does not crash.
  crash_record& crash(std::uint32_t slot) const noexcept;
  crash_target crash_target_of(spawn_slot& slot) const noexcept;
  /// Tells the child that it is to end until `when`.
  void ask_to_stop(std::uint32_t slot, clock::time_point when) const noexcept;
  /// SIGKILL to the process group of every child in the first `count` slots that is not detached. For when the parent is
  /// dead: init reaps its children then, and the number of one that has no group left can be given out anew. The kernel
  /// gives numbers in turn (alloc_pid), so that takes as many new processes as there are numbers, within this walk.
  void kill_groups() const noexcept;
  /// Where the kernel writes the pid of the fork server's canary, see clones_are_sound; to be reaped by the parent, also
  /// if the server is killed before it can say so.
  pid_t& canary() const noexcept { return head().canary; }
  /// Where the kernel writes the pid of a server's heir, for the same reason.
  pid_t& heir(std::uint64_t generation) const noexcept { return head().heirs[generation % most_heirs]; }
  /// Announces that slots below `count` may be in use, for `kill_groups`.
  void note_used(std::uint32_t count) const noexcept;

 private:
  static constexpr std::size_t most_heirs = 8;  // of as many generations at a time, see succession
  struct header {
    std::atomic<std::uint32_t> used;
    pid_t canary;
    pid_t heirs[most_heirs];
  };
  header& head() const noexcept;
  sys::mapped_file file_;
};

}  // namespace brood::detail
