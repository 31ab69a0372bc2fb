// The fork server: a small process with one thread that does nothing but make children for its parent.
#pragma once

#include <csignal>

#include "brood/system/unique_fd.hpp"
#include "process/spawn_table.hpp"

namespace brood::detail {

struct server_setup {
  unique_fd control;  // requests come, replies go
  unique_fd results;  // what children report on
  unique_fd parent;   // pidfd of the parent
  unique_fd table_file;
  sigset_t child_mask;  // the signal mask children start with
  bool fresh =
      false;  // from a fresh image of the program, whose standing is to be compared with the parent's
};

/// Becomes the fork server, in a fresh clone or image. Ends with the parent: by the end of the control socket or the
/// parent's pidfd, whichever is seen first, after killing the process groups of the children that are left.
/// Not by an exception: above it are frames of the host, which has them too.
[[noreturn]] void serve(server_setup setup) noexcept;

}  // namespace brood::detail
