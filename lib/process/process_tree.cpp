// Killing a tree while it grows: each process is stopped before its children are read, so it can make no more, and
// being stopped it reaps none, so their pids stay their own.
#include "process/process_tree.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "system/calls.hpp"
#include "system/pidfd.hpp"

namespace brood::detail {
namespace {

/// The kernel lists a process's children by the thread that made them.
std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> result;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    std::ifstream list(thread.path() / "children");
    for (pid_t child; list >> child;) result.push_back(child);
  }
  return result;
}

}  // namespace

int kill_tree(pid_t root, int pidfd) noexcept {
  try {
    sys::send_signal(pidfd, SIGSTOP);
    std::vector<pid_t> found{root};
    for (std::size_t i = 0; i < found.size(); ++i) {
      for (const pid_t child : children_of(found[i])) {
        sys::kill(child, SIGSTOP);
        found.push_back(child);
      }
    }
    for (std::size_t i = 1; i < found.size(); ++i) sys::kill(found[i], SIGKILL);
  } catch (...) {
    // Out of memory: the group below is killed all the same.
  }
  if (sys::getpgid(root) == root) sys::kill(-root, SIGKILL);
  if (sys::send_signal(pidfd, SIGKILL) || errno == ESRCH) return 0;
  return errno;
}

}  // namespace brood::detail
