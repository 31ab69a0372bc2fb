// A process and all that it has started.
#pragma once

#include <sys/types.h>

namespace brood::detail {

/// SIGKILL to a child of this process that has not been reaped, to its process group and to every descendant found in
/// /proc, also those in groups of their own. Reads a file of /proc for each of them.
int kill_tree(pid_t child, int pidfd) noexcept;

}  // namespace brood::detail
