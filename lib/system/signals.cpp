#include "system/signals.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

namespace brood::sys {

sigset_t block_all_signals() noexcept {
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &previous);
  return previous;
}

[[gnu::hot]] void set_signal_mask(const sigset_t& mask) noexcept {
  // The raw call, as every child makes it: each function of the C library that it touches costs it a page fault.
  constexpr std::size_t kernel_set_size = 8;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, kernel_set_size);
}

void reset_signal_handlers() noexcept {
  for (int signal = 1; signal < NSIG; ++signal)
    std::signal(signal, SIG_DFL);  // refused for SIGKILL and SIGSTOP
}

void set_signal_handler(int signal, void (*handler)(int, siginfo_t*, void*)) noexcept {
  struct sigaction action{};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

void end_by_default(int signal) noexcept {
  std::signal(signal, SIG_DFL);
  kill(getpid(), signal);
}

}  // namespace brood::sys
