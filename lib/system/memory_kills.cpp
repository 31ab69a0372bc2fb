#include "system/memory_kills.hpp"

#include <fstream>
#include <string>
#include <system_error>
#include <utility>

namespace brood::sys {
namespace {

using std::filesystem::path;

bool is_there(const path& file) {
  std::error_code error;
  return std::filesystem::exists(file, error);
}

}  // namespace

memory_kills::memory_kills(const path& own_cgroups, const path& root, path everywhere)
    : everywhere_(std::move(everywhere)) {
  std::ifstream list(own_cgroups);
  for (std::string line; std::getline(list, line);) {  // "0::/a/b" or "4:memory:/a/b"
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const path below = path(line.substr(second + 1)).relative_path();
    if (controllers.empty() && is_there(root / below / "memory.events"))
      cgroup_ = root / below / "memory.events";
    if (controllers == "memory" && is_there(root / "memory" / below / "memory.oom_control"))
      cgroup_ = root / "memory" / below / "memory.oom_control";
  }
}

memory_kills::counts memory_kills::read() const {
  counts found;
  const auto look = [](const path& file, const auto& tell) {
    if (file.empty()) return;
    std::ifstream from(file);
    std::string what;
    for (std::uint64_t count = 0; from >> what >> count;) tell(what, count);
  };
  look(everywhere_, [&](const std::string& what, std::uint64_t count) {
    if (what == "oom_kill") found.anywhere = count;
  });
  look(cgroup_, [&](const std::string& what, std::uint64_t count) {
    if (what == "oom_kill") found.here = count;
    if (what == "oom") found.at_limit = count;
  });
  return found;
}

}  // namespace brood::sys
