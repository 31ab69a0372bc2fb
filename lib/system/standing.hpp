// What a process may do and where it stands in the system: all that a clone inherits from its maker.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>

#include "brood/system/unique_fd.hpp"

namespace brood::sys {

struct standing {
  /// User and group ids, groups, capabilities, secure bits, no_new_privs, seccomp filters, namespaces, root folder: as
  /// text, only to be compared. A process cannot give these to another one that exists already.
  std::string identity;
  /// These two can be given.
  mode_t umask = 022;
  std::array<rlimit, RLIM_NLIMITS> limits{};
};

/// Reads the calling thread's standing, in about 10 us. Keeps two descriptors of /proc open for that. Where there is no /proc
/// it asks by system calls, which do not tell of namespaces, nor of a second seccomp filter.
class standing_reader {
 public:
  /// Lifetime: used by the thread that made it, in the process that made it.
  standing_reader() noexcept;
  void read(standing& into);

 private:
  void read_status(standing& into);

  unique_fd status_;
  unique_fd namespaces_;
  std::string text_;
};

/// What execve(2) changes: the saved ids become the effective ones, and root gets all capabilities.
struct credentials {
  uid_t saved_user = 0;
  gid_t saved_group = 0;
  // Effective, permitted, inheritable; then their upper halves.
  std::array<std::uint32_t, 6> capabilities{};

  static credentials of_this_thread() noexcept;
  bool no_capability() const noexcept { return capabilities[1] == 0 && capabilities[4] == 0; }
  /// Takes the saved ids back where that is permitted, and gives up the capabilities that are not in these.
  void adopt() const noexcept;
};

}  // namespace brood::sys
