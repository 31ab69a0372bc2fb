// Being asked to stop, on the side of whoever is asked: by its parent, which writes a time to its slot of the spawn table
// and sends SIGTERM, or under `run` by a signal from outside.
//
// A pool's worker is asked to end its task alone: by a bit in its lane, and SIGTERM with `request_mark`.
//
// SIGTERM has a handler in every child that runs a function: inherited from the fork server, it costs a child nothing. With
// nothing in the slot, and without the mark, it does what the default action does, so whoever else sends SIGTERM ends the child as ever.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
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

/// Whether this process was asked, or the task that it runs.
bool requested() noexcept;
/// In a pool's worker: the task is asked to end when `word` has one of the bits `mask`.
void watch_task(const std::atomic<std::uint64_t>& word, std::uint64_t mask) noexcept;
/// What SIGTERM carries when it is a request. One for a task may come when that has ended: then it is nothing.
constexpr int request_mark = 0x62726f6f;
/// How long a child of this process may take to end, that could take `limit`: no longer than this process itself may, less
/// something for its own end.
std::chrono::nanoseconds shortened(std::chrono::nanoseconds limit) noexcept;

/// A signal that asks the application to stop: those who await `stop_requested()` are told.
void note_signal(runtime& loop) noexcept;
/// Another application of this process begins.
void forget_signal() noexcept;

}  // namespace brood::detail::stopping
