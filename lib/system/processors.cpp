#include "system/processors.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <string>
#include <string_view>

#include "system/calls.hpp"

namespace brood::sys {
namespace {

using std::filesystem::path;

/// "200000 100000" in cpu.max of version 2, or the two files of version 1. "max" and -1 are no numbers of ours.
std::optional<double> quota_in(const path& folder) {
  double quota = 0;
  double period = 0;
  if (std::ifstream both(folder / "cpu.max"); both >> quota >> period && period > 0) return quota / period;
  std::ifstream quota_file(folder / "cpu.cfs_quota_us");
  std::ifstream period_file(folder / "cpu.cfs_period_us");
  if (quota_file >> quota && period_file >> period && quota > 0 && period > 0) return quota / period;
  return std::nullopt;
}

bool has_controller(std::string_view list, std::string_view wanted) {
  for (std::size_t comma; !list.empty(); list.remove_prefix(std::min(list.size(), comma + 1))) {
    comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == wanted) return true;
  }
  return false;
}

}  // namespace

std::optional<double> processor_quota(const path& own_cgroups, const path& root) {
  std::optional<double> least;
  const auto look_at = [&](const path& folder) {
    if (const auto found = quota_in(folder)) least = std::min(least.value_or(*found), *found);
  };
  std::ifstream list(own_cgroups);
  bool listed = false;
  for (std::string line; std::getline(list, line);) {  // "0::/a/b" or "4:cpu,cpuacct:/a/b"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && !has_controller(controllers, "cpu")) continue;
    listed = true;
    const path top = controllers.empty() ? root : root / "cpu";
    path below = path(line.substr(second + 1)).relative_path();
    for (; !below.empty(); below = below.parent_path()) look_at(top / below);
    look_at(top);
  }
  if (!listed) look_at(root);
  return least;
}

unsigned usable_processors() noexcept {
  // The kernel refuses a mask that is shorter than its own; 8,192 processors are the most it can be built for.
  std::array<cpu_set_t, 8> mask{};
  if (sys::sched_getaffinity(0, sizeof mask, mask.data()) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT_S(sizeof mask, mask.data())));
}

int processor_capacity() {
  const int most = static_cast<int>(usable_processors());
  return std::clamp(static_cast<int>(std::ceil(processor_quota().value_or(most))), 1, most);
}

}  // namespace brood::sys
