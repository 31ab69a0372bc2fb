// What is done in every fresh child before it runs what it is to run: session, streams, directory, limits.
#pragma once

#include <csignal>
#include <span>
#include <vector>

#include "process/protocol.hpp"
#include "process/spawn_table.hpp"
#include "system/clone.hpp"

namespace brood::detail {

/// The exit code of a child that could not be set up.
constexpr int cannot_start = 127;

/// A step of the set-up failed.
struct setup_failure {
  stage at = stage::none;
  int error = 0;
};

/// What a fresh child has of the fork server it was cloned from. Everything is borrowed, as the child of
/// `start_program` runs in the server's memory.
struct child_setup {
  const launch_request& request;
  std::span<const std::byte> body;  // details and arguments
  std::span<const int> streams;     // for stream_source::passed, in order
  int control;                      // the server's socket, not the child's
  int results;
  int parent;  // pidfd
  int table_file;
  spawn_slot& slot;
  crash_target crash;
  const sys::thread_identity* identity;  // null if the C library made the process
  sigset_t mask;
};

/// Ties the child's life to its parent's. Throws `setup_failure`, as all of the following.
void enter_family(const child_setup& setup);
/// The same with everything that was set but the environment and the signals. Allocates nothing.
void apply(const child_setup& setup, launch_details& details);
/// What it ignores and blocks: the last step, as all signals are blocked until here.
void set_signals(const child_setup& setup, const launch_options& options);

/// Closes on exec all descriptors from `lowest`.
void close_on_exec_from(int lowest) noexcept;

/// The failure that is being handled, from inside a catch block.
setup_failure current_failure() noexcept;
/// Writes the failure to the child's slot and ends the child.
[[noreturn]] void fail(spawn_slot& slot, setup_failure failure) noexcept;

inline void require(bool success, stage at) {
  if (!success) throw setup_failure{at, errno};
}

}  // namespace brood::detail
