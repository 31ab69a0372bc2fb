// How many processors this process may use.
#pragma once

#include <filesystem>
#include <optional>

namespace brood::sys {

/// Processors that the calling thread may run on: its affinity mask. At least 1, also if that is unknown. For questions such
/// as whether spinning can help.
unsigned usable_processors() noexcept;
/// How many of them it is given the time of: as many, or fewer by the quotas of its cgroup and of all above that. At least 1.
int processor_capacity();

/// How many processors' time the cgroup of /proc/self/cgroup gives, the least of it and those above it; nothing if there is
/// no limit. cgroups(7), both versions. The folders are parameters for tests.
std::optional<double> processor_quota(const std::filesystem::path& own_cgroups = "/proc/self/cgroup",
                                      const std::filesystem::path& root = "/sys/fs/cgroup");

}  // namespace brood::sys
