// The system calls of the library, under the names that the system gives them. The refusal fuzz can refuse each, with
// the errors that its man page lists and that a caller who made no mistake can meet. As there, -1 and errno tell of a failure.
// What always succeeds (getpid, clock_gettime) is called as it is.
#pragma once

#include <fcntl.h>
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
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace brood::sys {

// --- descriptors and files ---

constexpr int first_descriptor = 3;
/// Every new descriptor of the library goes through here. Where the host has closed a standard stream the kernel gives out
/// its number, and what it prints would be written into our sockets and memory: so it is moved, close-on-exec.
int above_standard_streams(int fd) noexcept;

int open(const char* path, int flags, mode_t mode = 0) noexcept;
/// On Linux the descriptor is gone whatever this returns, close(2).
int close(int fd) noexcept;
ssize_t read(int fd, void* into, std::size_t size) noexcept;
ssize_t pread(int fd, void* into, std::size_t size, off_t offset) noexcept;
ssize_t write(int fd, const void* from, std::size_t size) noexcept;
int fcntl(int fd, int what, int argument = 0) noexcept;
/// Between two descriptors of which one is a pipe; never blocks where both are non-blocking.
ssize_t splice(int from, int to, std::size_t size, unsigned flags) noexcept;
int dup2(int fd, int number) noexcept;
int pipe2(int* ends, int flags) noexcept;
int ioctl(int fd, unsigned long what, void* argument) noexcept;
/// The other end of a pseudo terminal, by this one; ioctl_tty(2), TIOCGPTPEER.
int open_peer_of_terminal(int master) noexcept;
int tcgetattr(int fd, termios* into) noexcept;
int tcsetattr(int fd, const termios* modes) noexcept;
pid_t tcgetpgrp(int fd) noexcept;
int fstat(int fd, struct stat* into) noexcept;
int stat(const char* path, struct stat* into) noexcept;
int lstat(const char* path, struct stat* into) noexcept;
int fstatat(int folder, const char* name, struct stat* into, int flags) noexcept;
int fstatfs(int fd, struct statfs* into) noexcept;
int ftruncate(int fd, off_t size) noexcept;
int access(const char* path, int how) noexcept;
int unlink(const char* path) noexcept;
int rename(const char* from, const char* to) noexcept;
int linkat(int from, const char* old_name, int to, const char* new_name, int flags) noexcept;
int fchmod(int fd, mode_t mode) noexcept;
int flock(int fd, int how) noexcept;
int poll(pollfd* watched, nfds_t count, int milliseconds) noexcept;
int epoll_create1(int flags) noexcept;
int epoll_ctl(int set, int what, int fd, epoll_event* event) noexcept;
int epoll_wait(int set, epoll_event* into, int most, int milliseconds) noexcept;
ssize_t getrandom(void* into, std::size_t size) noexcept;

// --- memory ---

int memfd_create(const char* name, unsigned flags) noexcept;
void* mmap(void* where, std::size_t size, int protection, int flags, int fd, off_t offset = 0) noexcept;
int munmap(void* where, std::size_t size) noexcept;
int madvise(void* where, std::size_t size, int advice) noexcept;

// --- sockets ---

int socket(int family, int type, int protocol) noexcept;
int socketpair(int family, int type, int protocol, int* ends) noexcept;
int bind(int fd, const sockaddr* where, socklen_t size) noexcept;
int listen(int fd, int most) noexcept;
int accept4(int fd, int flags) noexcept;
int connect(int fd, const sockaddr* where, socklen_t size) noexcept;
int shutdown(int fd, int how) noexcept;
int getsockname(int fd, sockaddr* into, socklen_t* size) noexcept;
int getsockopt(int fd, int level, int name, void* into, socklen_t* size) noexcept;
int setsockopt(int fd, int level, int name, const void* from, socklen_t size) noexcept;
ssize_t send(int fd, const void* from, std::size_t size, int flags) noexcept;
ssize_t sendto(int fd, const void* from, std::size_t size, int flags, const sockaddr* where,
               socklen_t length) noexcept;
ssize_t recv(int fd, void* into, std::size_t size, int flags) noexcept;
/// By number: a child that has called `syscall` before has its page already.
ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept;
ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept;

// --- processes ---

pid_t fork() noexcept;
/// `in_child` is called in each fork, by the thread that is left. The error, or 0.
int at_fork(void (*in_child)()) noexcept;
int execve(const char* path, char* const* arguments, char* const* environment) noexcept;
int kill(pid_t pid, int signal) noexcept;
/// A wait that is sure to find something to reap is only interrupted.
pid_t waitpid(pid_t pid, int* status, int options) noexcept;
/// The system's own waitid, which alone gives the usage.
long waitid(int kind, pid_t which, siginfo_t* info, int options, rusage* usage) noexcept;
int pidfd_open(pid_t pid) noexcept;
long pidfd_send_signal(int pidfd, int signal, siginfo_t* with = nullptr, unsigned flags = 0) noexcept;
/// By number, for the same reason as `sendmsg`.
long prctl(int what, unsigned long argument) noexcept;
long prctl(int what, const char* argument) noexcept;
long setpgid(pid_t pid, pid_t group) noexcept;
pid_t setsid() noexcept;
int chdir(const char* path) noexcept;
pid_t getpgid(pid_t pid) noexcept;
int execv(const char* path, char* const* arguments) noexcept;
char* getcwd(char* into, std::size_t size) noexcept;
int getrlimit(__rlimit_resource what, rlimit* into) noexcept;
int setrlimit(__rlimit_resource what, const rlimit* limit) noexcept;
int setpriority(__priority_which which, id_t who, int value) noexcept;
int sched_setscheduler(pid_t pid, int policy, int priority) noexcept;
/// Of the calling thread.
int ioprio_set(int what, int level) noexcept;
int chroot(const char* path) noexcept;
int setgroups(std::size_t count, const gid_t* groups) noexcept;
/// Real, effective and saved id.
int setresgid(gid_t id) noexcept;
int setresuid(uid_t id) noexcept;
int ignore_signal(int signal) noexcept;
int sched_getaffinity(pid_t pid, std::size_t size, cpu_set_t* into) noexcept;
int sched_setaffinity(pid_t pid, std::size_t size, const cpu_set_t* set) noexcept;
long close_range(unsigned first, unsigned last, unsigned flags) noexcept;
/// Ends the whole process at once; nothing of the C library runs.
[[noreturn]] void exit_group(int code) noexcept;
/// sigprocmask(2), which no caller without mistake sees fail.
int sigprocmask(int how, const sigset_t* mask, sigset_t* previous) noexcept;
/// Sleeps while `word` is `value`, until it is woken or the time is over (ETIMEDOUT); futex(2), shared between processes.
long futex_wait(std::uint32_t* word, std::uint32_t value, const timespec& limit) noexcept;
/// Wakes one that sleeps at `word`.
void futex_wake(std::uint32_t* word) noexcept;

}  // namespace brood::sys
