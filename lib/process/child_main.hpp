// The life of a child, from the clone to its end.
#pragma once

#include <csignal>
#include <span>
#include <vector>

#include "brood/runtime/unique_fd.hpp"
#include "process/protocol.hpp"
#include "process/spawn_table.hpp"
#include "system/clone.hpp"

namespace brood::detail {

/// What a fresh child needs of the fork server it was cloned from.
struct child_setup {
  const launch_request& request;
  std::span<const std::byte> body;       // details and arguments
  std::vector<unique_fd> streams;        // for stream_source::passed, in order
  int control = -1;                      // the server's, to be closed
  unique_fd results;
  unique_fd parent;
  spawn_slot* slot;
  const sys::thread_identity* identity;  // null if the C library made the process
  sigset_t mask;
  int table_file = -1;
};

/// In a fresh clone of the fork server: sets it up as its request says and runs what is to be run. A failure is written
/// to the slot, and the child ends with 127.
[[noreturn]] void begin_child(child_setup setup) noexcept;

/// In the fork server: calls once what children call, so that they find symbols looked up and tables filled. The
/// dynamic linker's work would else be done again in each of them.
void rehearse();

/// In a fresh image started by `begin_child`: the same for a function.
[[noreturn]] void begin_executed_child() noexcept;

}  // namespace brood::detail
