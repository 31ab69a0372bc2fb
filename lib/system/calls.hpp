// The system calls of the library, under the names that the system gives them. Each can be refused by the refusal fuzz, with
// the errors that its man page lists and that a caller who made no mistake can meet. As there, -1 and errno tell of a failure.
// What always succeeds (getpid, clock_gettime) is called as it is.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "system/fail_point.hpp"

namespace brood::sys {

// --- descriptors and files ---

inline int open(const char* path, int flags, mode_t mode = 0) noexcept {
  return fail_point("open", {EMFILE, ENFILE, ENOMEM, EACCES, EINTR}) ? -1 : ::open(path, flags, mode);
}
/// On Linux the descriptor is gone whatever this returns, close(2).
inline int close(int fd) noexcept { return ::close(fd); }
inline ssize_t read(int fd, void* into, std::size_t size) noexcept {
  return fail_point("read", {EINTR, EIO, ENOMEM}) ? -1 : ::read(fd, into, size);
}
inline ssize_t write(int fd, const void* from, std::size_t size) noexcept {
  return fail_point("write", {EINTR, ENOSPC, EIO, ENOMEM}) ? -1 : ::write(fd, from, size);
}
inline int fcntl(int fd, int what, int argument = 0) noexcept {
  if (what == F_DUPFD || what == F_DUPFD_CLOEXEC)
    return fail_point("fcntl F_DUPFD", {EMFILE, ENOMEM}) ? -1 : ::fcntl(fd, what, argument);
  return fail_point("fcntl", {EPERM, ENOMEM}) ? -1 : ::fcntl(fd, what, argument);
}
inline int dup2(int fd, int number) noexcept {
  return fail_point("dup2", {EMFILE, EINTR, ENOMEM}) ? -1 : ::dup2(fd, number);
}
inline int pipe2(int* ends, int flags) noexcept {
  return fail_point("pipe2", {EMFILE, ENFILE, ENOMEM}) ? -1 : ::pipe2(ends, flags);
}
inline int ioctl(int fd, unsigned long what, void* argument) noexcept {
  return fail_point("ioctl", {EPERM, ENOMEM}) ? -1 : ::ioctl(fd, what, argument);
}
inline int fstat(int fd, struct stat* into) noexcept {
  return fail_point("fstat", {ENOMEM, EPERM}) ? -1 : ::fstat(fd, into);
}
inline int stat(const char* path, struct stat* into) noexcept {
  return fail_point("stat", {ENOMEM, EACCES}) ? -1 : ::stat(path, into);
}
inline int lstat(const char* path, struct stat* into) noexcept {
  return fail_point("lstat", {ENOMEM, EACCES}) ? -1 : ::lstat(path, into);
}
inline int fstatat(int folder, const char* name, struct stat* into, int flags) noexcept {
  return fail_point("fstatat", {ENOMEM, EACCES}) ? -1 : ::fstatat(folder, name, into, flags);
}
inline int fstatfs(int fd, struct statfs* into) noexcept {
  return fail_point("fstatfs", {ENOMEM, EINTR}) ? -1 : ::fstatfs(fd, into);
}
inline int ftruncate(int fd, off_t size) noexcept {
  return fail_point("ftruncate", {ENOMEM, ENOSPC, EINTR, EPERM}) ? -1 : ::ftruncate(fd, size);
}
inline int access(const char* path, int how) noexcept {
  return fail_point("access", {ENOMEM, EACCES}) ? -1 : ::access(path, how);
}
inline int unlink(const char* path) noexcept {
  return fail_point("unlink", {EPERM, ENOMEM}) ? -1 : ::unlink(path);
}
inline int linkat(int from, const char* old_name, int to, const char* new_name, int flags) noexcept {
  return fail_point("linkat", {EPERM, ENOSPC, ENOMEM}) ? -1 : ::linkat(from, old_name, to, new_name, flags);
}
inline int fchmod(int fd, mode_t mode) noexcept {
  return fail_point("fchmod", {EPERM, ENOMEM}) ? -1 : ::fchmod(fd, mode);
}
inline int flock(int fd, int how) noexcept {
  return fail_point("flock", {EINTR, ENOLCK}) ? -1 : ::flock(fd, how);
}
inline int poll(pollfd* watched, nfds_t count, int milliseconds) noexcept {
  return fail_point("poll", {EINTR, ENOMEM}) ? -1 : ::poll(watched, count, milliseconds);
}
inline int epoll_create1(int flags) noexcept {
  return fail_point("epoll_create1", {EMFILE, ENFILE, ENOMEM}) ? -1 : ::epoll_create1(flags);
}
inline int epoll_ctl(int set, int what, int fd, epoll_event* event) noexcept {
  // Only what is added takes memory.
  return what == EPOLL_CTL_ADD && fail_point("epoll_ctl ADD", {ENOMEM, ENOSPC}) ? -1 : ::epoll_ctl(set, what, fd, event);
}
inline int epoll_wait(int set, epoll_event* into, int most, int milliseconds) noexcept {
  return fail_point("epoll_wait", {EINTR}) ? -1 : ::epoll_wait(set, into, most, milliseconds);
}
inline ssize_t getrandom(void* into, std::size_t size) noexcept {
  return fail_point("getrandom", {EINTR, ENOSYS}) ? -1 : ::getrandom(into, size, 0);
}

// --- memory ---

inline int memfd_create(const char* name, unsigned flags) noexcept {
  return fail_point("memfd_create", {EMFILE, ENFILE, ENOMEM}) ? -1 : ::memfd_create(name, flags);
}
inline void* mmap(void* where, std::size_t size, int protection, int flags, int fd, off_t offset = 0) noexcept {
  return fail_point("mmap", {ENOMEM, EAGAIN}) ? MAP_FAILED : ::mmap(where, size, protection, flags, fd, offset);
}
inline int munmap(void* where, std::size_t size) noexcept { return ::munmap(where, size); }
inline int madvise(void* where, std::size_t size, int advice) noexcept {
  return fail_point("madvise", {ENOMEM, EAGAIN}) ? -1 : ::madvise(where, size, advice);
}

// --- sockets ---

inline int socket(int family, int type, int protocol) noexcept {
  return fail_point("socket", {EMFILE, ENFILE, ENOBUFS, ENOMEM}) ? -1 : ::socket(family, type, protocol);
}
inline int socketpair(int family, int type, int protocol, int* ends) noexcept {
  return fail_point("socketpair", {EMFILE, ENFILE, ENOMEM}) ? -1 : ::socketpair(family, type, protocol, ends);
}
inline int bind(int fd, const sockaddr* where, socklen_t size) noexcept {
  return fail_point("bind", {ENOMEM, EACCES, EADDRINUSE}) ? -1 : ::bind(fd, where, size);
}
inline int listen(int fd, int most) noexcept {
  return fail_point("listen", {ENOMEM, EADDRINUSE}) ? -1 : ::listen(fd, most);
}
inline int accept4(int fd, int flags) noexcept {
  const bool refused = fail_point("accept4", {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINTR, ECONNABORTED});
  return refused ? -1 : ::accept4(fd, nullptr, nullptr, flags);
}
inline int connect(int fd, const sockaddr* where, socklen_t size) noexcept {
  return fail_point("connect", {EAGAIN, ENOMEM, EACCES}) ? -1 : ::connect(fd, where, size);
}
inline int shutdown(int fd, int how) noexcept { return ::shutdown(fd, how); }
inline int getsockname(int fd, sockaddr* into, socklen_t* size) noexcept {
  return fail_point("getsockname", {ENOBUFS}) ? -1 : ::getsockname(fd, into, size);
}
inline int getsockopt(int fd, int level, int name, void* into, socklen_t* size) noexcept {
  return fail_point("getsockopt", {EPERM, ENOMEM}) ? -1 : ::getsockopt(fd, level, name, into, size);
}
inline int setsockopt(int fd, int level, int name, const void* from, socklen_t size) noexcept {
  return fail_point("setsockopt", {EPERM, ENOMEM}) ? -1 : ::setsockopt(fd, level, name, from, size);
}
inline ssize_t send(int fd, const void* from, std::size_t size, int flags) noexcept {
  return fail_point("send", {EAGAIN, ENOBUFS, ENOMEM, EINTR}) ? -1 : ::send(fd, from, size, flags);
}
inline ssize_t sendto(int fd, const void* from, std::size_t size, int flags, const sockaddr* where,
                      socklen_t length) noexcept {
  const bool refused = fail_point("sendto", {EAGAIN, ENOBUFS, ENOMEM, EINTR, EPERM});
  return refused ? -1 : ::sendto(fd, from, size, flags, where, length);
}
inline ssize_t recv(int fd, void* into, std::size_t size, int flags) noexcept {
  return fail_point("recv", {EAGAIN, ENOMEM, EINTR}) ? -1 : ::recv(fd, into, size, flags);
}
/// By number: a child that has called `syscall` before has its page already.
inline ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
  const bool refused = fail_point("sendmsg", {EAGAIN, ENOBUFS, ENOMEM, EINTR, ETOOMANYREFS, EPERM});
  return refused ? -1 : ::syscall(SYS_sendmsg, fd, message, flags);
}
inline ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
  return fail_point("recvmsg", {EAGAIN, ENOMEM, EINTR}) ? -1 : ::recvmsg(fd, message, flags);
}

// --- processes ---

inline pid_t fork() noexcept { return fail_point("fork", {EAGAIN, ENOMEM, EPERM}) ? -1 : ::fork(); }
inline int execve(const char* path, char* const* arguments, char* const* environment) noexcept {
  const bool refused = fail_point("execve", {ENOMEM, EACCES, E2BIG, EAGAIN, EMFILE});
  return refused ? -1 : ::execve(path, arguments, environment);
}
inline int kill(pid_t pid, int signal) noexcept { return fail_point("kill", {EPERM}) ? -1 : ::kill(pid, signal); }
/// A wait that is sure to find something to reap is only interrupted.
inline pid_t waitpid(pid_t pid, int* status, int options) noexcept {
  return fail_point("waitpid", {EINTR}) ? -1 : ::waitpid(pid, status, options);
}
/// The system's own waitid, which alone gives the usage.
inline long waitid(int kind, pid_t which, siginfo_t* info, int options, rusage* usage) noexcept {
  return fail_point("waitid", {EINTR}) ? -1 : ::syscall(SYS_waitid, kind, which, info, options, usage);
}
inline int pidfd_open(pid_t pid) noexcept {
  const bool refused = fail_point("pidfd_open", {EMFILE, ENFILE, ENOMEM, EPERM});
  return refused ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}
inline long pidfd_send_signal(int pidfd, int signal) noexcept {
  return fail_point("pidfd_send_signal", {EPERM}) ? -1 : ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
}
/// By number, for the same reason as `sendmsg`.
inline long prctl(int what, unsigned long argument) noexcept {
  return fail_point("prctl", {EPERM}) ? -1 : ::syscall(SYS_prctl, what, argument, 0, 0, 0);
}
inline long prctl(int what, const char* argument) noexcept { return prctl(what, reinterpret_cast<unsigned long>(argument)); }
inline long setpgid(pid_t pid, pid_t group) noexcept {
  return fail_point("setpgid", {EPERM}) ? -1 : ::syscall(SYS_setpgid, pid, group);
}
inline pid_t setsid() noexcept { return fail_point("setsid", {EPERM}) ? -1 : ::setsid(); }
inline int chdir(const char* path) noexcept { return fail_point("chdir", {ENOMEM, EACCES}) ? -1 : ::chdir(path); }
inline pid_t getpgid(pid_t pid) noexcept { return fail_point("getpgid", {EPERM}) ? -1 : ::getpgid(pid); }
inline int execv(const char* path, char* const* arguments) noexcept {
  return fail_point("execve", {ENOMEM, EACCES, EAGAIN}) ? -1 : ::execv(path, arguments);
}
inline char* getcwd(char* into, std::size_t size) noexcept {
  return fail_point("getcwd", {ENOENT, ENOMEM}) ? nullptr : ::getcwd(into, size);
}
inline int getrlimit(__rlimit_resource what, rlimit* into) noexcept {
  return fail_point("getrlimit", {EPERM}) ? -1 : ::getrlimit(what, into);
}
inline int setrlimit(__rlimit_resource what, const rlimit* limit) noexcept {
  return fail_point("setrlimit", {EPERM}) ? -1 : ::setrlimit(what, limit);
}
inline int setpriority(__priority_which which, id_t who, int value) noexcept {
  return fail_point("setpriority", {EACCES, EPERM}) ? -1 : ::setpriority(which, who, value);
}
inline int sched_getaffinity(pid_t pid, std::size_t size, cpu_set_t* into) noexcept {
  return fail_point("sched_getaffinity", {EPERM, ENOSYS}) ? -1 : ::sched_getaffinity(pid, size, into);
}
inline int sched_setaffinity(pid_t pid, std::size_t size, const cpu_set_t* set) noexcept {
  return fail_point("sched_setaffinity", {EPERM, EINVAL}) ? -1 : ::sched_setaffinity(pid, size, set);
}
inline long close_range(unsigned first, unsigned last, unsigned flags) noexcept {
  return fail_point("close_range", {ENOMEM, EMFILE}) ? -1 : ::syscall(SYS_close_range, first, last, flags);
}
/// Ends the whole process at once; nothing of the C library runs.
[[noreturn]] inline void exit_group(int code) noexcept {
  for (;;) ::syscall(SYS_exit_group, code);
}
/// sigprocmask(2), which no caller without mistake sees fail.
inline int sigprocmask(int how, const sigset_t* mask, sigset_t* previous) noexcept {
  return ::sigprocmask(how, mask, previous);
}
/// Sleeps while `word` is `value`, until it is woken or the time is over (ETIMEDOUT); futex(2), shared between processes.
inline long futex_wait(std::uint32_t* word, std::uint32_t value, const timespec& limit) noexcept {
  return fail_point("futex", {EINTR, EAGAIN}) ? -1 : ::syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, nullptr, 0);
}
/// Wakes one that sleeps at `word`.
inline void futex_wake(std::uint32_t* word) noexcept { ::syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0); }

}  // namespace brood::sys
