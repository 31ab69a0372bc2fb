// Processes that are stopped in the midst of a step (SIGSTOP), as by a debugger or a frozen cgroup, and go on or are killed
// some moments later. The warden does both, a process outside of the family: whoever is in it may be waiting for the stopped one.
#pragma once

#include <cstdint>

namespace kill_fuzz {

/// Starts the warden. It ends with this process.
void start_warden();

/// For `arm_stop_point`: stops this process until the warden continues or kills it. A process that does not share the
/// warden's memory, which a fresh image does not, is killed.
void stop_here() noexcept;

/// How many processes have been stopped by now.
std::uint64_t stops() noexcept;

/// What becomes of a process at some step of what it does.
struct fate {
  std::uint64_t steps = 0;  // 0: nothing
  bool stops = false;       // or it is killed

  /// The calling process's, from now on.
  void arm() const noexcept;
};

}  // namespace kill_fuzz
