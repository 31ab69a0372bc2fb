// Killing a tree while it grows: each process is stopped before its children are read, so it can make no more, and
// being stopped it reaps none, so their pids stay their own.
#include "process/process_tree.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
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

/// Everything below a process that has been stopped.
void kill_below(pid_t root) noexcept {
  try {
    std::vector<pid_t> found{root};
    for (std::size_t i = 0; i < found.size(); ++i) {
      for (const pid_t child : children_of(found[i])) {
        sys::kill(child, SIGSTOP);
        found.push_back(child);
      }
    }
    for (std::size_t i = 1; i < found.size(); ++i) sys::kill(found[i], SIGKILL);
  } catch (...) {
    // Out of memory: the group is killed all the same.
  }
}

}  // namespace

int kill_tree(pid_t root, int pidfd) noexcept {
  sys::send_signal(pidfd, SIGSTOP);
  kill_below(root);
  if (sys::getpgid(root) == root) sys::kill(-root, SIGKILL);
  if (sys::send_signal(pidfd, SIGKILL) || errno == ESRCH) return 0;
  return errno;
}

descendants descendants_of(pid_t process) noexcept {
  descendants found;
  try {
    std::vector<pid_t> parents{process};
    for (std::size_t i = 0; i < parents.size(); ++i) {
      for (const pid_t child : children_of(parents[i])) {
        unique_fd pidfd = sys::open_process(child);
        if (!pidfd) continue;
        parents.push_back(child);
        found.emplace_back(child, std::move(pidfd));
      }
    }
  } catch (...) {
    // Out of memory: those that were found are all.
  }
  return found;
}

void kill_descendants(descendants known) noexcept {
  for (const auto& [process, pidfd] : known) {
    // One that has ended has nobody below it, and its number may be another's.
    if (!sys::send_signal(pidfd.get(), SIGSTOP) || sys::has_ended(pidfd.get())) continue;
    kill_below(process);
    sys::send_signal(pidfd.get(), SIGKILL);
  }
}

bool runs_in_group(pid_t group) noexcept {
  try {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
      const std::string name = entry.path().filename();
      pid_t pid = 0;
      std::from_chars(name.data(), name.data() + name.size(), pid);
      if (pid <= 0 || sys::getpgid(pid) != group) continue;
      if (!sys::is_gone(pid)) return true;
    }
    return static_cast<bool>(error);  // without /proc: whatever was found otherwise
  } catch (...) {
    return true;
  }
}

}  // namespace brood::detail
