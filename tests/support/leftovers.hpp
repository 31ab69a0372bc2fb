// What a test may have left behind: compared before and after.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include "brood/process/current.hpp"

/// This process's fork server or its heir: they belong to the process, not to the test.
inline bool is_fork_server(pid_t pid) {
  const auto servers = brood::detail::fork_servers().pids;
  return std::find(servers.begin(), servers.end(), pid) != servers.end();
}

/// How many descriptors it keeps of them. They may come and go in a test, as a server dies and an heir is made.
inline long descriptors_of_fork_servers() { return brood::detail::fork_servers().descriptors; }

/// Descriptors and children of this process, without its fork servers.
struct leftovers {
  long descriptors = 0;
  std::vector<pid_t> children;  // zombies included

  static leftovers now() {
    leftovers result;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
      ++result.descriptors;
    result.descriptors -= descriptors_of_fork_servers();
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream list(thread.path() / "children");
      for (pid_t child; list >> child;) {
        if (!is_fork_server(child)) result.children.push_back(child);
      }
    }
    return result;
  }

  friend bool operator==(const leftovers&, const leftovers&) = default;
  friend std::ostream& operator<<(std::ostream& out, const leftovers& l) {
    out << l.descriptors << " descriptors, children";
    for (const pid_t child : l.children) out << ' ' << child;
    return out;
  }
};
