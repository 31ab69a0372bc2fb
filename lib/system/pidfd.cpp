#include "system/pidfd.hpp"

#include "system/calls.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace brood::sys {
namespace {

// From <linux/pidfd.h> of Linux 6.15; older headers lack it.
struct pidfd_info {
  std::uint64_t mask;
  std::uint64_t cgroupid;
  std::uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(pidfd_info) == 64);
constexpr std::uint64_t info_exit = 1u << 3;
constexpr unsigned long get_info = _IOWR(0xFF, 11, pidfd_info);

ending from_siginfo(const siginfo_t& info, const rusage& usage) noexcept {
  ending result;
  result.known = true;
  result.code = info.si_status;
  result.signaled = info.si_code != CLD_EXITED;
  result.core_dumped = info.si_code == CLD_DUMPED;
  result.usage = usage;
  return result;
}

/// The raw call: only it gives the usage. False if there is no such child.
bool wait_for(int kind, pid_t which, siginfo_t& info, int options, rusage* usage) noexcept {
  long result;
  while ((result = sys::waitid(kind, which, &info, options, usage)) != 0 && errno == EINTR) {
  }
  return result == 0;
}

/// Nothing while the process has ended but whoever reaps it has not done: the kernel tells only then.
std::optional<ending> kept_by_kernel(int pidfd) noexcept {
  pidfd_info info{};
  ending result;
  // Twice: it looks for its record of the end first and for the process next, which may be released between the two.
  bool answered = false;
  for (int attempt = 0; attempt < 2 && !answered; ++attempt) {
    info.mask = info_exit;
    answered = sys::ioctl(pidfd, get_info, &info) == 0;
  }
  if (!answered) return result;
  if ((info.mask & info_exit) == 0) return std::nullopt;
  result.known = true;
  result.signaled = WIFSIGNALED(info.exit_code);
  result.code = result.signaled ? WTERMSIG(info.exit_code) : WEXITSTATUS(info.exit_code);
  result.core_dumped = result.signaled && WCOREDUMP(info.exit_code);
  return result;
}

}  // namespace

unique_fd open_process(pid_t pid) noexcept { return unique_fd(sys::pidfd_open(pid)); }

bool send_signal(int pidfd, int signal) noexcept { return pidfd_send_signal(pidfd, signal) == 0; }

int signal_group(int pidfd, int signal) noexcept {
  constexpr unsigned process_group = 1u << 2;  // PIDFD_SIGNAL_PROCESS_GROUP, newer than some systems' headers
  return pidfd_send_signal(pidfd, signal, nullptr, process_group) == 0 ? 0 : errno;
}

bool send_signal_with(int pidfd, int signal, int number) noexcept {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = number;
  return pidfd_send_signal(pidfd, signal, &info) == 0;
}

[[gnu::hot]] bool has_ended(int pidfd) noexcept {
  pollfd ended{pidfd, POLLIN, 0};
  return sys::poll(&ended, 1, 0) == 1;
}

bool is_gone(pid_t pid) noexcept {
  const unique_fd pidfd = open_process(pid);
  return pidfd ? has_ended(pidfd.get()) : errno == ESRCH;
}

std::optional<ending> reap(int pidfd, bool keep) noexcept {
  siginfo_t info{};
  rusage usage{};
  // __WALL, as our children have no exit signal.
  if (wait_for(P_PIDFD, pidfd, info, WEXITED | WNOHANG | __WALL | (keep ? WNOWAIT : 0), &usage)) {
    if (info.si_pid == 0) return std::nullopt;
    return from_siginfo(info, usage);
  }
  if (!has_ended(pidfd)) return std::nullopt;
  return kept_by_kernel(pidfd);
}

std::optional<ending> reap_by_number(pid_t child) noexcept {
  siginfo_t info{};
  rusage usage{};
  if (!wait_for(P_PID, child, info, WEXITED | WNOHANG | __WALL, &usage))
    return ending();  // somebody else has reaped it
  if (info.si_pid == 0) return std::nullopt;
  return from_siginfo(info, usage);
}

bool has_ended_by_number(pid_t pid) noexcept {
  siginfo_t info{};
  const bool ours = wait_for(P_PID, pid, info, WEXITED | WNOHANG | WNOWAIT | __WALL, nullptr);
  return ours ? info.si_pid != 0 : is_gone(pid);
}

bool await_end(int pidfd, int milliseconds) noexcept {
  pollfd ended{pidfd, POLLIN, 0};
  int ready;
  while ((ready = sys::poll(&ended, 1, milliseconds)) < 0 && (errno == EINTR || errno == ENOMEM)) {
  }
  return ready != 0;
}

bool await_and_reap(pid_t child, int pidfd, int milliseconds) noexcept {
  if (pidfd >= 0 && !await_end(pidfd, milliseconds)) return false;
  await_and_reap(child, pidfd);
  return true;
}

void await_and_reap(pid_t child, int pidfd) noexcept {
  if (pidfd < 0) {
    while (sys::waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) {
    }
    return;
  }
  await_end(pidfd, -1);
  reap(pidfd);
}

}  // namespace brood::sys
