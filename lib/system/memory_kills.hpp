// What the kernel has killed for want of memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace brood::sys {

/// How many processes the kernel has killed for want of memory, ever, and how many of them in the cgroup of this process:
/// /proc/vmstat, and memory.events of version 2 or memory.oom_control of version 1. The files are parameters for tests.
class memory_kills {
 public:
  struct counts {
    std::optional<std::uint64_t> anywhere;
    std::optional<std::uint64_t> here;
    std::uint64_t at_limit =
        0;  // how often the cgroup had reached a limit of its own and could not get below it
  };

  explicit memory_kills(const std::filesystem::path& own_cgroups = "/proc/self/cgroup",
                        const std::filesystem::path& root = "/sys/fs/cgroup",
                        std::filesystem::path everywhere = "/proc/vmstat");
  counts read() const;

 private:
  std::filesystem::path everywhere_;
  std::filesystem::path cgroup_;
};

}  // namespace brood::sys
