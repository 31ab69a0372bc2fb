#include "system/clone.hpp"

#include "system/calls.hpp"
#include "system/fail_point.hpp"
#include "system/pidfd.hpp"

#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace brood::sys {
namespace {

robust_list_head* robust_list_of(void* address) { return static_cast<robust_list_head*>(address); }

[[noreturn]] void die_holding(pthread_mutex_t& mutex, const thread_identity& identity) {
  identity.renew();
  pthread_mutex_trylock(&mutex);  // without waiting: whoever cloned it may have given up and hold it
  _exit(0);
}

}  // namespace

void thread_identity::take_tid() const noexcept {
  *tid_ = static_cast<pid_t>(syscall(SYS_gettid));
  syscall(SYS_set_tid_address, tid_);
}

bool thread_identity::find(thread_identity& found) noexcept {
  int* tid = nullptr;
  if (::prctl(PR_GET_TID_ADDRESS, &tid) != 0 || tid == nullptr) return false;
  if (*tid != static_cast<int>(syscall(SYS_gettid))) return false;  // not glibc's layout (musl)
  void* list = nullptr;
  std::size_t size = 0;
  if (syscall(SYS_get_robust_list, 0, &list, &size) != 0 || list == nullptr) return false;
  found.tid_ = tid;
  found.robust_list_ = list;
  found.robust_list_size_ = size;
  return true;
}

[[gnu::hot]] void thread_identity::renew() const noexcept {
  // The kernel wrote the new tid (CLONE_CHILD_SETTID). It forgets the robust list at every clone.
  robust_list_head* head = robust_list_of(robust_list_);
  head->list.next = &head->list;
  head->list_op_pending = nullptr;
  syscall(SYS_set_robust_list, head, robust_list_size_);
}

namespace {

clone_args arguments_for(const clone_request& request) noexcept {
  clone_args arguments{};
  if (request.sibling) arguments.flags |= CLONE_PARENT;
  if (request.wait_for_exec) arguments.flags |= CLONE_VFORK;
  if (!request.sibling) arguments.exit_signal = static_cast<std::uint64_t>(request.exit_signal);
  if (request.identity != nullptr) {
    arguments.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    arguments.child_tid = request.identity->tid_address();
  }
  if (request.pidfd != nullptr) {
    arguments.flags |= CLONE_PIDFD;
    arguments.pidfd = reinterpret_cast<std::uint64_t>(request.pidfd);
  }
  if (request.pid_slot != nullptr) {
    // Mapped here and now: for a caller that is killed in the middle of it the kernel brings in no page, and the child
    // would run with nobody knowing of it.
    std::atomic_ref(*request.pid_slot).store(0, std::memory_order_relaxed);
    arguments.flags |= CLONE_PARENT_SETTID;
    arguments.parent_tid = reinterpret_cast<std::uint64_t>(request.pid_slot);
  }
  return arguments;
}

/// Sandboxes refuse clone3 as they cannot look into its arguments, which are in memory: those of Docker with ENOSYS,
/// others with EPERM, which the kernel itself has no reason for here.
bool is_refused(pid_t result) noexcept { return result < 0 && (errno == ENOSYS || errno == EPERM); }

/// The same by clone(2), which has one place for the pid and the pidfd: so the descriptor is opened afterwards. The number
/// is the child's own until its parent reaps it, and that one is told of it by the caller.
pid_t clone_by_old_call(const clone_request& request) noexcept {
  unsigned long flags = request.sibling ? CLONE_PARENT : static_cast<unsigned long>(request.exit_signal);
  if (request.wait_for_exec) flags |= CLONE_VFORK;
  if (request.pid_slot != nullptr) flags |= CLONE_PARENT_SETTID;
#if defined(__s390x__)
  const auto pid = static_cast<pid_t>(syscall(SYS_clone, nullptr, flags, request.pid_slot, nullptr, nullptr));
#else
  const auto pid = static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, request.pid_slot, nullptr, nullptr));
#endif
  if (pid == 0 && request.identity != nullptr) request.identity->take_tid();
  if (pid > 0 && request.pidfd != nullptr) *request.pidfd = open_process(pid).release();
  return pid;
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool address_sanitizer = true;
#elif defined(__has_feature)
constexpr bool address_sanitizer = __has_feature(address_sanitizer);
#else
constexpr bool address_sanitizer = false;
#endif

#if defined(__x86_64__)
constexpr bool can_start_on_own_stack = true;

/// clone3 with a stack: the child cannot return from a C function on a stack that holds no frame of it, so the call to
/// `child` is made here. glibc's own clone3 does the same but is not exported (2.36).
pid_t clone_on_own_stack(clone_args& arguments, void (*child)(void*), void* argument) noexcept {
  long result = SYS_clone3;
  register auto entry asm("r8") = child;
  register auto given asm("r9") = argument;
  asm volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"  // the outermost frame
      "movq %[given], %%rdi\n\t"
      "callq *%[entry]\n\t"
      "ud2\n"
      "1:"
      : "+a"(result)
      : "D"(&arguments), "S"(sizeof arguments), [entry] "r"(entry), [given] "r"(given)
      : "rcx", "r11", "memory", "cc");
  if (result >= 0) return static_cast<pid_t>(result);
  errno = static_cast<int>(-result);
  return -1;
}
#else
constexpr bool can_start_on_own_stack = false;
pid_t clone_on_own_stack(clone_args&, void (*)(void*), void*) noexcept { return -1; }
#endif

constexpr std::initializer_list<int> clone_errors = {EAGAIN, ENOMEM, EPERM, ENOSYS};

constexpr std::size_t stack_size = 256 * 1024;

void* make_stack() noexcept {
  void* stack =
      sys::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  return stack == MAP_FAILED ? nullptr : stack;
}

}  // namespace

[[gnu::hot]] pid_t clone_process(const clone_request& request) noexcept {
  if (fail_point("clone3", clone_errors)) return -1;
  clone_args arguments = arguments_for(request);
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
  return is_refused(pid) ? clone_by_old_call(request) : pid;
}

bool shares_memory_until_exec() noexcept { return can_start_on_own_stack && !address_sanitizer; }

pid_t clone_until_exec(const clone_request& request, void (*child)(void*), void* argument) noexcept {
  if (fail_point("clone3", clone_errors)) return -1;
  clone_args arguments = arguments_for(request);
  // The tid that glibc keeps stays the caller's, whose memory this is.
  arguments.flags &= ~static_cast<std::uint64_t>(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID);
  arguments.child_tid = 0;
  arguments.flags |= CLONE_VFORK;
  static void* const stack = shares_memory_until_exec() ? make_stack() : nullptr;
  if (stack != nullptr) {
    arguments.flags |= CLONE_VM;
    arguments.stack = reinterpret_cast<std::uint64_t>(stack);
    arguments.stack_size = stack_size;
    const pid_t pid = clone_on_own_stack(arguments, child, argument);
    if (!is_refused(pid)) return pid;
    arguments.flags &= ~static_cast<std::uint64_t>(CLONE_VM);
    arguments.stack = arguments.stack_size = 0;
  }
  auto pid = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (is_refused(pid)) {
    clone_request copying = request;
    copying.identity = nullptr;
    copying.wait_for_exec = true;
    pid = clone_by_old_call(copying);
  }
  if (pid == 0) {
    child(argument);
    _exit(127);
  }
  return pid;
}

bool clones_are_sound(const thread_identity& identity, bool sibling, pid_t& canary) noexcept {
  void* memory =
      sys::mmap(nullptr, sizeof(pthread_mutex_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  auto& mutex = *static_cast<pthread_mutex_t*>(memory);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);

  int pidfd = -1;
  clone_request request;
  request.identity = &identity;
  request.sibling = sibling;
  request.pidfd = &pidfd;
  request.pid_slot = &canary;
  const pid_t child = clone_process(request);
  if (child == 0) die_holding(mutex, identity);
  bool sound = false;
  if (child > 0 && pidfd >= 0) {
    pollfd ended{pidfd, POLLIN, 0};
    while (sys::poll(&ended, 1, -1) < 0 && errno == EINTR) {
    }
    if (!sibling) await_and_reap(child, -1);
    sound = pthread_mutex_trylock(&mutex) == EOWNERDEAD;
    sys::close(pidfd);
  }
  munmap(memory, sizeof(pthread_mutex_t));
  return sound;
}

}  // namespace brood::sys
