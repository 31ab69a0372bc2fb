// Signal masks and dispositions around the making of processes.
#pragma once

#include <csignal>

namespace brood::sys {

/// Blocks every signal; gives the mask that was in force.
sigset_t block_all_signals() noexcept;
void set_signal_mask(const sigset_t& mask) noexcept;
/// Every signal back to its default action, also those that were ignored.
void reset_signal_handlers() noexcept;
/// Calls that are interrupted by it fail with EINTR, so that who waits in one can look why.
void set_signal_handler(int signal, void (*handler)(int, siginfo_t*, void*)) noexcept;
/// Inside the handler of `signal`: once it has returned, the default action ends the process. Async-signal-safe.
void end_by_default(int signal) noexcept;

}  // namespace brood::sys
