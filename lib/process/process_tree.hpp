// A process and all that it has started.
#pragma once

#include <sys/types.h>

#include <utility>
#include <vector>

#include "brood/system/unique_fd.hpp"

namespace brood::detail {

/// SIGKILL to a child of this process that has not been reaped, to its process group and to every descendant found in
/// /proc, also those in groups of their own. Reads a file of /proc for each of them.
int kill_tree(pid_t child, int pidfd) noexcept;

/// Descendants of a process, with a descriptor of each.
using descendants = std::vector<std::pair<pid_t, unique_fd>>;
/// Those that it has now. What cannot be had (no /proc, no memory, no descriptor) is left out.
descendants descendants_of(pid_t process) noexcept;
/// SIGKILL to those of them that have not ended, and to all below them.
void kill_descendants(descendants known) noexcept;
/// Whether a process of this group runs, and is no zombie. Asks for each process of the system.
bool runs_in_group(pid_t group) noexcept;

}  // namespace brood::detail
