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

}  // namespace brood::sys
