// Each call passes a fail point, which says no with an error of its man page that a caller without mistake can meet.
// Out of line, so that the refusal fuzz compiles these few files anew and not the library. What each child calls is hot: it lies
// on one page.
#include "system/calls.hpp"

#include <grp.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>

#include "system/fail_point.hpp"

namespace brood::sys {
namespace {

int both_above(int result, int* ends) noexcept {
  if (result != 0) return result;
  for (int i = 0; i < 2; ++i) ends[i] = above_standard_streams(ends[i]);
  if (ends[0] >= 0 && ends[1] >= 0) return 0;
  const int error = errno;
  for (int i = 0; i < 2; ++i) {
    if (ends[i] >= 0) ::close(ends[i]);
  }
  errno = error;
  return -1;
}

}  // namespace

int above_standard_streams(int fd) noexcept {
  if (fd < 0 || fd >= first_descriptor) return fd;
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, first_descriptor);
  const int error = errno;
  ::close(fd);
  errno = error;
  return moved;
}

// --- descriptors and files ---

int open(const char* path, int flags, mode_t mode) noexcept {
  return fail_point("open", {EMFILE, ENFILE, ENOMEM, EACCES, EINTR})
             ? -1
             : above_standard_streams(::open(path, flags, mode));
}
[[gnu::hot]] int close(int fd) noexcept { return ::close(fd); }
ssize_t read(int fd, void* into, std::size_t size) noexcept {
  return fail_point("read", {EINTR, EIO, ENOMEM}) ? -1 : ::read(fd, into, size);
}
ssize_t pread(int fd, void* into, std::size_t size, off_t offset) noexcept {
  return fail_point("pread", {EINTR, EIO, ENOMEM}) ? -1 : ::pread(fd, into, size, offset);
}
ssize_t write(int fd, const void* from, std::size_t size) noexcept {
  return fail_point("write", {EINTR, ENOSPC, EIO, ENOMEM}) ? -1 : ::write(fd, from, size);
}
int fcntl(int fd, int what, int argument) noexcept {
  if (what == F_DUPFD || what == F_DUPFD_CLOEXEC)
    return fail_point("fcntl F_DUPFD", {EMFILE, ENOMEM}) ? -1 : ::fcntl(fd, what, argument);
  return fail_point("fcntl", {EPERM, ENOMEM}) ? -1 : ::fcntl(fd, what, argument);
}
int dup2(int fd, int number) noexcept {
  return fail_point("dup2", {EMFILE, EINTR, ENOMEM}) ? -1 : ::dup2(fd, number);
}
int pipe2(int* ends, int flags) noexcept {
  return fail_point("pipe2", {EMFILE, ENFILE, ENOMEM}) ? -1 : both_above(::pipe2(ends, flags), ends);
}
int ioctl(int fd, unsigned long what, void* argument) noexcept {
  return fail_point("ioctl", {EPERM, ENOMEM}) ? -1 : ::ioctl(fd, what, argument);
}
ssize_t splice(int from, int to, std::size_t size, unsigned flags) noexcept {
  const bool refused = fail_point("splice", {EAGAIN, EINTR, ENOMEM, EIO});
  return refused ? -1 : ::splice(from, nullptr, to, nullptr, size, flags);
}
int open_peer_of_terminal(int master) noexcept {
  return fail_point("ioctl TIOCGPTPEER", {EMFILE, ENFILE, ENOMEM, EIO})
             ? -1
             : above_standard_streams(::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}
int tcgetattr(int fd, termios* into) noexcept {
  return fail_point("tcgetattr", {EIO, ENOMEM}) ? -1 : ::tcgetattr(fd, into);
}
int tcsetattr(int fd, const termios* modes) noexcept {
  return fail_point("tcsetattr", {EINTR, EIO}) ? -1 : ::tcsetattr(fd, TCSANOW, modes);
}
pid_t tcgetpgrp(int fd) noexcept { return fail_point("tcgetpgrp", {EPERM}) ? -1 : ::tcgetpgrp(fd); }
int fstat(int fd, struct stat* into) noexcept {
  return fail_point("fstat", {ENOMEM, EPERM}) ? -1 : ::fstat(fd, into);
}
int stat(const char* path, struct stat* into) noexcept {
  return fail_point("stat", {ENOMEM, EACCES}) ? -1 : ::stat(path, into);
}
int lstat(const char* path, struct stat* into) noexcept {
  return fail_point("lstat", {ENOMEM, EACCES}) ? -1 : ::lstat(path, into);
}
int fstatat(int folder, const char* name, struct stat* into, int flags) noexcept {
  return fail_point("fstatat", {ENOMEM, EACCES}) ? -1 : ::fstatat(folder, name, into, flags);
}
int fstatfs(int fd, struct statfs* into) noexcept {
  return fail_point("fstatfs", {ENOMEM, EINTR}) ? -1 : ::fstatfs(fd, into);
}
int ftruncate(int fd, off_t size) noexcept {
  return fail_point("ftruncate", {ENOMEM, ENOSPC, EINTR, EPERM}) ? -1 : ::ftruncate(fd, size);
}
int access(const char* path, int how) noexcept {
  return fail_point("access", {ENOMEM, EACCES}) ? -1 : ::access(path, how);
}
int unlink(const char* path) noexcept { return fail_point("unlink", {EPERM, ENOMEM}) ? -1 : ::unlink(path); }
int rename(const char* from, const char* to) noexcept {
  return fail_point("rename", {EACCES, ENOSPC, ENOMEM}) ? -1 : ::rename(from, to);
}
int linkat(int from, const char* old_name, int to, const char* new_name, int flags) noexcept {
  return fail_point("linkat", {EPERM, ENOSPC, ENOMEM}) ? -1 : ::linkat(from, old_name, to, new_name, flags);
}
int fchmod(int fd, mode_t mode) noexcept {
  return fail_point("fchmod", {EPERM, ENOMEM}) ? -1 : ::fchmod(fd, mode);
}
int flock(int fd, int how) noexcept { return fail_point("flock", {EINTR, ENOLCK}) ? -1 : ::flock(fd, how); }
[[gnu::hot]] int poll(pollfd* watched, nfds_t count, int milliseconds) noexcept {
  return fail_point("poll", {EINTR, ENOMEM}) ? -1 : ::poll(watched, count, milliseconds);
}
int epoll_create1(int flags) noexcept {
  return fail_point("epoll_create1", {EMFILE, ENFILE, ENOMEM})
             ? -1
             : above_standard_streams(::epoll_create1(flags));
}
int epoll_ctl(int set, int what, int fd, epoll_event* event) noexcept {
  // Only what is added takes memory.
  return what == EPOLL_CTL_ADD && fail_point("epoll_ctl ADD", {ENOMEM, ENOSPC})
             ? -1
             : ::epoll_ctl(set, what, fd, event);
}
int epoll_wait(int set, epoll_event* into, int most, int milliseconds) noexcept {
  return fail_point("epoll_wait", {EINTR}) ? -1 : ::epoll_wait(set, into, most, milliseconds);
}
ssize_t getrandom(void* into, std::size_t size) noexcept {
  return fail_point("getrandom", {EINTR, ENOSYS}) ? -1 : ::getrandom(into, size, 0);
}

// --- memory ---

int memfd_create(const char* name, unsigned flags) noexcept {
  return fail_point("memfd_create", {EMFILE, ENFILE, ENOMEM})
             ? -1
             : above_standard_streams(::memfd_create(name, flags));
}
void* mmap(void* where, std::size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  return fail_point("mmap", {ENOMEM, EAGAIN}) ? MAP_FAILED
                                              : ::mmap(where, size, protection, flags, fd, offset);
}
int munmap(void* where, std::size_t size) noexcept { return ::munmap(where, size); }
int madvise(void* where, std::size_t size, int advice) noexcept {
  return fail_point("madvise", {ENOMEM, EAGAIN}) ? -1 : ::madvise(where, size, advice);
}

// --- sockets ---

int socket(int family, int type, int protocol) noexcept {
  return fail_point("socket", {EMFILE, ENFILE, ENOBUFS, ENOMEM})
             ? -1
             : above_standard_streams(::socket(family, type, protocol));
}
int socketpair(int family, int type, int protocol, int* ends) noexcept {
  return fail_point("socketpair", {EMFILE, ENFILE, ENOMEM})
             ? -1
             : both_above(::socketpair(family, type, protocol, ends), ends);
}
int bind(int fd, const sockaddr* where, socklen_t size) noexcept {
  return fail_point("bind", {ENOMEM, EACCES, EADDRINUSE}) ? -1 : ::bind(fd, where, size);
}
int listen(int fd, int most) noexcept {
  return fail_point("listen", {ENOMEM, EADDRINUSE}) ? -1 : ::listen(fd, most);
}
int accept4(int fd, int flags) noexcept {
  const bool refused = fail_point("accept4", {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINTR, ECONNABORTED});
  return refused ? -1 : above_standard_streams(::accept4(fd, nullptr, nullptr, flags));
}
int connect(int fd, const sockaddr* where, socklen_t size) noexcept {
  return fail_point("connect", {EAGAIN, ENOMEM, EACCES}) ? -1 : ::connect(fd, where, size);
}
int shutdown(int fd, int how) noexcept { return ::shutdown(fd, how); }
int getsockname(int fd, sockaddr* into, socklen_t* size) noexcept {
  return fail_point("getsockname", {ENOBUFS}) ? -1 : ::getsockname(fd, into, size);
}
int getsockopt(int fd, int level, int name, void* into, socklen_t* size) noexcept {
  return fail_point("getsockopt", {EPERM, ENOMEM}) ? -1 : ::getsockopt(fd, level, name, into, size);
}
int setsockopt(int fd, int level, int name, const void* from, socklen_t size) noexcept {
  return fail_point("setsockopt", {EPERM, ENOMEM}) ? -1 : ::setsockopt(fd, level, name, from, size);
}
ssize_t send(int fd, const void* from, std::size_t size, int flags) noexcept {
  return fail_point("send", {EAGAIN, ENOBUFS, ENOMEM, EINTR}) ? -1 : ::send(fd, from, size, flags);
}
[[gnu::hot]] ssize_t sendto(int fd, const void* from, std::size_t size, int flags, const sockaddr* where,
                            socklen_t length) noexcept {
  const bool refused = fail_point("sendto", {EAGAIN, ENOBUFS, ENOMEM, EINTR, EPERM});
  return refused ? -1 : ::sendto(fd, from, size, flags, where, length);
}
[[gnu::hot]] ssize_t recv(int fd, void* into, std::size_t size, int flags) noexcept {
  return fail_point("recv", {EAGAIN, ENOMEM, EINTR}) ? -1 : ::recv(fd, into, size, flags);
}
[[gnu::hot]] ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
  const bool refused = fail_point("sendmsg", {EAGAIN, ENOBUFS, ENOMEM, EINTR, ETOOMANYREFS, EPERM});
  return refused ? -1 : ::syscall(SYS_sendmsg, fd, message, flags);
}
[[gnu::hot]] ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
  return fail_point("recvmsg", {EAGAIN, ENOMEM, EINTR}) ? -1 : ::recvmsg(fd, message, flags);
}

// --- processes ---

int at_fork(void (*in_child)()) noexcept {
  return fail_point("pthread_atfork", {ENOMEM}) ? errno : ::pthread_atfork(nullptr, nullptr, in_child);
}
pid_t fork() noexcept { return fail_point("fork", {EAGAIN, ENOMEM, EPERM}) ? -1 : ::fork(); }
int execve(const char* path, char* const* arguments, char* const* environment) noexcept {
  const bool refused = fail_point("execve", {ENOMEM, EACCES, E2BIG, EAGAIN, EMFILE});
  return refused ? -1 : ::execve(path, arguments, environment);
}
int kill(pid_t pid, int signal) noexcept { return fail_point("kill", {EPERM}) ? -1 : ::kill(pid, signal); }
pid_t waitpid(pid_t pid, int* status, int options) noexcept {
  return fail_point("waitpid", {EINTR}) ? -1 : ::waitpid(pid, status, options);
}
long waitid(int kind, pid_t which, siginfo_t* info, int options, rusage* usage) noexcept {
  return fail_point("waitid", {EINTR}) ? -1 : ::syscall(SYS_waitid, kind, which, info, options, usage);
}
int pidfd_open(pid_t pid) noexcept {
  const bool refused = fail_point("pidfd_open", {EMFILE, ENFILE, ENOMEM, EPERM});
  return refused ? -1 : above_standard_streams(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}
long pidfd_send_signal(int pidfd, int signal, siginfo_t* with, unsigned flags) noexcept {
  return fail_point("pidfd_send_signal", {EPERM})
             ? -1
             : ::syscall(SYS_pidfd_send_signal, pidfd, signal, with, flags);
}
[[gnu::hot]] long prctl(int what, unsigned long argument) noexcept {
  return fail_point("prctl", {EPERM}) ? -1 : ::syscall(SYS_prctl, what, argument, 0, 0, 0);
}
[[gnu::hot]] long prctl(int what, const char* argument) noexcept {
  return prctl(what, reinterpret_cast<unsigned long>(argument));
}
[[gnu::hot]] long setpgid(pid_t pid, pid_t group) noexcept {
  return fail_point("setpgid", {EPERM}) ? -1 : ::syscall(SYS_setpgid, pid, group);
}
pid_t setsid() noexcept { return fail_point("setsid", {EPERM}) ? -1 : ::setsid(); }
int chdir(const char* path) noexcept { return fail_point("chdir", {ENOMEM, EACCES}) ? -1 : ::chdir(path); }
pid_t getpgid(pid_t pid) noexcept { return fail_point("getpgid", {EPERM}) ? -1 : ::getpgid(pid); }
int execv(const char* path, char* const* arguments) noexcept {
  return fail_point("execve", {ENOMEM, EACCES, EAGAIN}) ? -1 : ::execv(path, arguments);
}
char* getcwd(char* into, std::size_t size) noexcept {
  return fail_point("getcwd", {ENOENT, ENOMEM}) ? nullptr : ::getcwd(into, size);
}
int getrlimit(__rlimit_resource what, rlimit* into) noexcept {
  return fail_point("getrlimit", {EPERM}) ? -1 : ::getrlimit(what, into);
}
int setrlimit(__rlimit_resource what, const rlimit* limit) noexcept {
  return fail_point("setrlimit", {EPERM}) ? -1 : ::setrlimit(what, limit);
}
int setpriority(__priority_which which, id_t who, int value) noexcept {
  return fail_point("setpriority", {EACCES, EPERM}) ? -1 : ::setpriority(which, who, value);
}
int sched_setscheduler(pid_t pid, int policy, int priority) noexcept {
  sched_param parameter{};
  parameter.sched_priority = priority;
  return fail_point("sched_setscheduler", {EPERM}) ? -1 : ::sched_setscheduler(pid, policy, &parameter);
}
int ioprio_set(int what, int level) noexcept {
  constexpr int this_thread = 1;  // IOPRIO_WHO_PROCESS; <linux/ioprio.h> is newer than some systems
  constexpr int class_shift = 13;
  if (fail_point("ioprio_set", {EPERM})) return -1;
  return static_cast<int>(::syscall(SYS_ioprio_set, this_thread, 0, what << class_shift | level));
}
int chroot(const char* path) noexcept { return fail_point("chroot", {EPERM, EACCES}) ? -1 : ::chroot(path); }
int setgroups(std::size_t count, const gid_t* groups) noexcept {
  return fail_point("setgroups", {ENOMEM}) ? -1 : ::setgroups(count, groups);
}
int setresgid(gid_t id) noexcept { return fail_point("setresgid", {EPERM}) ? -1 : ::setresgid(id, id, id); }
int setresuid(uid_t id) noexcept {
  return fail_point("setresuid", {EAGAIN, EPERM}) ? -1 : ::setresuid(id, id, id);
}
int ignore_signal(int signal) noexcept {
  struct sigaction action{};
  action.sa_handler = SIG_IGN;
  return ::sigaction(signal, &action, nullptr);
}
int sched_getaffinity(pid_t pid, std::size_t size, cpu_set_t* into) noexcept {
  return fail_point("sched_getaffinity", {EPERM, ENOSYS}) ? -1 : ::sched_getaffinity(pid, size, into);
}
int sched_setaffinity(pid_t pid, std::size_t size, const cpu_set_t* set) noexcept {
  return fail_point("sched_setaffinity", {EPERM, EINVAL}) ? -1 : ::sched_setaffinity(pid, size, set);
}
[[gnu::hot]] long close_range(unsigned first, unsigned last, unsigned flags) noexcept {
  return fail_point("close_range", {ENOMEM, EMFILE}) ? -1 : ::syscall(SYS_close_range, first, last, flags);
}
[[gnu::hot]] void exit_group(int code) noexcept {
  for (;;) ::syscall(SYS_exit_group, code);
}
int sigprocmask(int how, const sigset_t* mask, sigset_t* previous) noexcept {
  return ::sigprocmask(how, mask, previous);
}
[[gnu::hot]] long futex_wait(std::uint32_t* word, std::uint32_t value, const timespec& limit) noexcept {
  return fail_point("futex", {EINTR, EAGAIN})
             ? -1
             : ::syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, nullptr, 0);
}
[[gnu::hot]] void futex_wake(std::uint32_t* word) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

}  // namespace brood::sys
