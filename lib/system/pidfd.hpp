// Processes by descriptor: pidfd_open(2). Immune to the reuse of process ids.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <optional>

#include "brood/system/unique_fd.hpp"

namespace brood::sys {

/// Empty, with errno, if there is no such process.
unique_fd open_process(pid_t pid) noexcept;
/// False if the process has ended and been reaped.
bool send_signal(int pidfd, int signal) noexcept;
/// To every process of the group that the process leads or has led: also when it has been reaped, as the descriptor keeps its
/// number from others (PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9). The error, or 0: ESRCH if nobody is in it, EINVAL on an older
/// kernel. Signal 0 only asks; a zombie counts.
int signal_group(int pidfd, int signal) noexcept;
/// The same with a number that the handler finds in its `siginfo_t`, as sigqueue(3) gives it.
bool send_signal_with(int pidfd, int signal, int number) noexcept;
/// Has the process ended? (A zombie has.)
bool has_ended(int pidfd) noexcept;
/// Whether no process of this number runs any more: gone, or a zombie. False if no descriptor can be had to find out.
bool is_gone(pid_t pid) noexcept;

/// What is known of a child that has ended.
struct ending {
  bool known = false;  // false: somebody else reaped it and the kernel tells no more
  int code = 0;        // exit code, or the number of the signal
  bool signaled = false;
  bool core_dumped = false;
  rusage usage{};  // zero if somebody else reaped it
};

/// Reaps a child without waiting; nothing while it runs. If somebody else in this process reaped it first (a
/// `waitpid(-1)`, an ignored SIGCHLD), asks the kernel for the status it keeps for holders of a pidfd
/// (PIDFD_INFO_EXIT, Linux 6.15). With `keep` it is left as a zombie.
std::optional<ending> reap(int pidfd, bool keep = false) noexcept;
/// The same by number, for a child of this process that has not been reaped.
std::optional<ending> reap_by_number(pid_t child) noexcept;
/// Whether such a child has ended. Where it is not a child of this process: whether it is gone.
bool has_ended_by_number(pid_t pid) noexcept;
/// Waits for the end of a child of this process, and reaps it. Without a descriptor, by its number.
void await_and_reap(pid_t child, int pidfd) noexcept;
/// The same for so long at most, with a descriptor; false if it has not ended.
bool await_and_reap(pid_t child, int pidfd, int milliseconds) noexcept;
/// Waits so long at most; false if it has not ended.
bool await_end(int pidfd, int milliseconds) noexcept;

}  // namespace brood::sys
