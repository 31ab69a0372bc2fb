// Signal masks and dispositions around the making of processes.
#pragma once

#include <csignal>

namespace brood::sys {

/// Blocks every signal; gives the mask that was in force.
sigset_t block_all_signals() noexcept;
void set_signal_mask(const sigset_t& mask) noexcept;
/// Every signal back to its default action, also those that were ignored.
void reset_signal_handlers() noexcept;

}  // namespace brood::sys
