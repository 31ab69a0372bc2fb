// Processors by the quotas of cgroups: of nested ones the least counts.
#include "system/processors.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "brood/process/current.hpp"
#include "catch.hpp"

namespace sys = brood::sys;

namespace {

/// A folder that looks like /sys/fs/cgroup.
class cgroup_tree {
 public:
  cgroup_tree() { std::filesystem::create_directories(root_); }
  ~cgroup_tree() { std::filesystem::remove_all(root_); }
  cgroup_tree(const cgroup_tree&) = delete;
  cgroup_tree& operator=(const cgroup_tree&) = delete;

  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << '\n';
  }
  std::optional<double> quota(const std::string& own) const {
    write("own", own);
    return sys::processor_quota(root_ / "own", root_);
  }

 private:
  std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("brood-cgroups-" + std::to_string(getpid()));
};

}  // namespace

TEST_CASE("a nested cgroup has the least quota of its own and those above it") {
  const cgroup_tree tree;
  CHECK(tree.quota("0::/system.slice/brood.service") == std::nullopt);
  tree.write("system.slice/brood.service/cpu.max", "150000 100000");
  CHECK(tree.quota("0::/system.slice/brood.service") == 1.5);
  tree.write("system.slice/cpu.max", "max 100000");
  CHECK(tree.quota("0::/system.slice/brood.service") == 1.5);
  tree.write("system.slice/cpu.max", "50000 100000");
  CHECK(tree.quota("0::/system.slice/brood.service") == 0.5);
  CHECK(tree.quota("0::/user.slice") == std::nullopt);
  tree.write("cpu.max", "300000 100000");  // as a container sees its own
  CHECK(tree.quota("0::/") == 3);
}

TEST_CASE("quotas of cgroups of version 1") {
  const cgroup_tree tree;
  tree.write("cpu/job/cpu.cfs_quota_us", "250000");
  tree.write("cpu/job/cpu.cfs_period_us", "100000");
  CHECK(tree.quota("3:cpuset:/other\n2:cpu,cpuacct:/job\n0::/") == 2.5);
  tree.write("cpu/job/cpu.cfs_quota_us", "-1");
  CHECK(tree.quota("2:cpuacct,cpu:/job") == std::nullopt);
}

TEST_CASE("processors are counted in one way") {
  CHECK(static_cast<int>(sys::usable_processors()) >= sys::processor_capacity());
  CHECK(brood::cpu_count() == sys::processor_capacity());
}
