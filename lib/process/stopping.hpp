// Being asked to stop, on the side of whoever is asked: by its parent, which writes a time to its slot of the spawn table
// and sends SIGTERM, or under `run` by a signal from outside.
//
// SIGTERM has a handler in every child that runs a function: inherited from the fork server, it costs a child nothing. With
// nothing in the slot it does what the default action does, so whoever else sends SIGTERM ends the child as ever.
#pragma once

#include <chrono>
#include <optional>

#include "process/spawn_table.hpp"

namespace brood {
class runtime;
}

namespace brood::detail::stopping {

/// The exit code of a child that unwound because it was asked to, as `run` gives for SIGTERM.
constexpr int exit_code = 128 + 15;

/// In a fork server, whose children inherit it, and in a fresh image.
void install_handler() noexcept;
/// In a fresh child, before it lets signals through.
void begin_child(const spawn_slot& slot) noexcept;
/// In a fork of the application's own, and in a fork server: nobody asks this one.
void forget() noexcept;

/// Whether this process was asked.
bool requested() noexcept;
/// How long a child of this process may take to end, that could take `limit`: no longer than this process itself may, less
/// something for its own end.
std::chrono::nanoseconds shortened(std::chrono::nanoseconds limit) noexcept;

/// A signal that asks the application to stop: those who await `stop_requested()` are told.
void note_signal(runtime& loop) noexcept;
/// Another application of this process begins.
void forget_signal() noexcept;

}  // namespace brood::detail::stopping
