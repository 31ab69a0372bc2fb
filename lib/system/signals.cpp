#include "system/signals.hpp"

namespace brood::sys {

sigset_t block_all_signals() noexcept {
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &previous);
  return previous;
}

void set_signal_mask(const sigset_t& mask) noexcept { sigprocmask(SIG_SETMASK, &mask, nullptr); }

void reset_signal_handlers() noexcept {
  for (int signal = 1; signal < NSIG; ++signal) std::signal(signal, SIG_DFL);  // refused for SIGKILL and SIGSTOP
}

}  // namespace brood::sys
