// This process and its relatives.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brood/export.hpp"
#include "brood/process/process.hpp"

namespace brood {

/// The process that asks.
struct BROOD_API this_process {
  pid_t pid() const noexcept;
  /// "main" in the first process of the family.
  const std::string& name() const noexcept;
  bool daemon() const noexcept;
  /// Whether this process was asked to stop: by its parent (`stop`, a cancelled scope, the end of `run`), or under `run` by
  /// SIGINT or SIGTERM. For plain functions, whose blocking system calls are interrupted (EINTR) by the request. From any
  /// thread.
  bool stop_requested() const noexcept;
  /// 32 random bytes that the whole family shares; the default key of listeners and managers.
  std::span<const std::byte> authkey() const noexcept;
};

BROOD_API this_process current_process() noexcept;

/// Waits until this process is asked to stop, on the loop of its first runtime; at once if it has been. Cancellation: waits
/// no longer. In a child the same request then cancels what its function awaits; `shield` what must still be done.
BROOD_API task<> stop_requested();

/// The process that spawned this one.
class BROOD_API parent {
 public:
  pid_t pid() const noexcept;
  const std::string& name() const noexcept;
  bool is_alive() const noexcept;
};

/// Nothing in the first process of the family.
BROOD_API std::optional<parent> parent_process() noexcept;

/// The children of this process that run now. Loop thread only.
BROOD_API std::vector<process_handle> active_children();

/// The CPUs this process may use: its affinity, and the quotas of its cgroup and of those above it. At least 1.
BROOD_API int cpu_count();

/// Ends a child at once with `code`: runs the `at_exit` hooks and flushes the standard streams, but does not unwind
/// the stack. Children of its own die with it. In the first process of the family it is `std::exit`.
[[noreturn]] BROOD_API void exit(int code);

/// Calls `hook` at the end of this process if it is a child, after its function, in reverse order of registration.
/// Hooks registered before `init`, or in `preload`, run in every child. A child that heeds the request to stop runs them, one
/// ended by a signal runs none.
BROOD_API void at_exit(std::function<void()> hook);

/// The pid of this process's fork server; 0 before its start.
BROOD_API pid_t fork_server_pid() noexcept;

namespace detail {
/// The fork server and its heir, as far as there are any, also if the server has just made it, and how many descriptors this process keeps of them.
struct fork_server_count {
  std::vector<pid_t> pids;
  long descriptors = 0;
};
BROOD_API fork_server_count fork_servers();
BROOD_API void flush_standard_streams() noexcept;
/// The end of a child: joins its own children, runs the hooks, flushes, ends with `code`.
[[noreturn]] BROOD_API void leave_child(int code) noexcept;
}  // namespace detail

}  // namespace brood
