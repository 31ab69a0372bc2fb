// Processes whose parents have died, collected by the test: so it is known that nothing of a dead family is left.
#pragma once

#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "brood/system/unique_fd.hpp"
#include "leftovers.hpp"

/// While it lives, orphans among this process's descendants become its children (PR_SET_CHILD_SUBREAPER), not init's.
class orphanage {
 public:
  orphanage() { prctl(PR_SET_CHILD_SUBREAPER, 1); }
  ~orphanage() { prctl(PR_SET_CHILD_SUBREAPER, 0); }
  orphanage(const orphanage&) = delete;
  orphanage& operator=(const orphanage&) = delete;

  /// Waits until this process has no child but its fork server, and reaps those that have ended. A child's own children
  /// come here at its end, so that there is no moment at which some are unseen. False if it takes longer than a
  /// process needs that is being killed, on a busy machine.
  bool all_gone(std::chrono::milliseconds patience = std::chrono::seconds(10)) const {
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
      const auto children = leftovers::now().children;
      if (children.empty()) return true;
      if (!ends_before(children.front(), until)) return false;
    }
  }

 private:
  static bool ends_before(pid_t child, std::chrono::steady_clock::time_point until) {
    const brood::unique_fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd ended{pidfd.get(), POLLIN, 0};
    if (pidfd && poll(&ended, 1, std::max(0, static_cast<int>(left.count()))) != 1) return false;
    waitpid(child, nullptr, __WALL);
    return true;
  }
};
