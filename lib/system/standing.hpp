// What a process may do and where it stands in the system: what is compared of that.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>

#include "brood/system/unique_fd.hpp"

namespace brood::sys {

struct standing {
  // A process cannot give these two to another one that exists already. As bytes, only to be compared.
  /// User and group ids, groups, capabilities, secure bits, no_new_privs, whether there are seccomp filters.
  std::string ids;
  /// What takes a call for each, or /proc: namespaces, root folder, bounding and ambient capabilities, how many filters.
  /// Empty: not known.
  std::string place;
  /// These two can be given.
  mode_t umask = 022;
  std::array<rlimit, RLIM_NLIMITS> limits{};

  bool is_identical(const standing& other) const noexcept {
    return ids == other.ids && (place.empty() || other.place.empty() || place == other.place);
  }
};

/// Reads the calling thread's standing. Keeps two descriptors of /proc open for that. Where there is no /proc, and where they
/// cannot be had now, the place is not known. Lifetime: used by one thread, in the process of its first use.
class standing_reader {
 public:
  /// All of it, in about 10 us.
  void read(standing& into);
  /// Without the place, in a third of that. With more than one thread without the mask as well, which only /proc tells then.
  static void read_ids_and_limits(standing& into);

 private:
  void open_files() noexcept;
  void read_place(standing& into);

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
