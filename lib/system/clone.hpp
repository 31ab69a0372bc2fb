// Making processes with clone3(2), or clone(2) where that is refused, and what glibc has to be told afterwards.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace brood::sys {

/// Where glibc keeps this thread's id and its list of robust mutexes. glibc's fork() renews both in the child; a raw
/// clone3 does not, and without it a dead owner of a robust mutex is never noticed. Asked once in a process that
/// glibc itself started, the addresses stay valid in its clones.
/// Sources: prctl(2) PR_GET_TID_ADDRESS, get_robust_list(2), glibc sysdeps/nptl/_Fork.c.
class thread_identity {
 public:
  /// False where the kernel or the C library does not keep to the above; then only `fork` can be used.
  static bool find(thread_identity& found) noexcept;
  /// In a fresh clone: as glibc's own fork does.
  void renew() const noexcept;
  /// In a clone whose tid the kernel has not written.
  void take_tid() const noexcept;
  std::uint64_t tid_address() const noexcept { return reinterpret_cast<std::uint64_t>(tid_); }

 private:
  pid_t* tid_ = nullptr;
  void* robust_list_ = nullptr;
  std::size_t robust_list_size_ = 0;
};

/// How a process is cloned. The child is a copy of the caller, as from fork(2).
struct clone_request {
  const thread_identity* identity = nullptr;
  bool sibling = false;        // a child of the caller's parent (CLONE_PARENT)
  bool wait_for_exec = false;  // return when the child has called execve or ended (CLONE_VFORK)
  int exit_signal = 0;         // not with `sibling`, which inherits the caller's
  int* pidfd = nullptr;        // gets a descriptor of the child, close-on-exec
  pid_t* pid_slot = nullptr;   // gets the pid, written by the kernel before the child runs
};

/// As fork(2): the child's pid, 0 in the child, or -1 with errno.
pid_t clone_process(const clone_request& request) noexcept;

/// Whether `clone_until_exec` shares memory here. Elsewhere it copies: on processors without the few instructions it
/// needs, and under AddressSanitizer, which does not know the child's stack.
bool shares_memory_until_exec() noexcept;

/// As `clone_process` with `wait_for_exec`, but the child runs `child(argument)` in the caller's memory while the caller
/// waits (CLONE_VM | CLONE_VFORK, as posix_spawn does): nothing is copied. `child` must end in execve or _exit and
/// leave memory as it found it. Only for callers with one thread.
pid_t clone_until_exec(const clone_request& request, void (*child)(void*), void* argument) noexcept;

/// Clones a process that dies holding a robust mutex and tells whether that was noticed: the proof that `identity`
/// works here. `canary` gets its pid, written by the kernel; a sibling must then be reaped by its parent.
bool clones_are_sound(const thread_identity& identity, bool sibling, pid_t& canary) noexcept;

}  // namespace brood::sys
