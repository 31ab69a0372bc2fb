// The death of a parent, by SIGKILL: nothing that it has started is left.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "catch.hpp"
#include "helper_program.hpp"
#include "orphans.hpp"

namespace {

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> result;
  std::ifstream list("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  for (pid_t child; list >> child;) result.push_back(child);
  return result;
}

std::size_t count_descendants(pid_t pid) {
  std::size_t count = 0;
  for (const pid_t child : children_of(pid)) count += 1 + count_descendants(child);
  return count;
}

/// An empty folder for what a program may create.
class scratch {
 public:
  scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "brood-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
    setenv("TMPDIR", path_.c_str(), 1);
    setenv("XDG_RUNTIME_DIR", path_.c_str(), 1);
  }
  ~scratch() {
    unsetenv("TMPDIR");
    unsetenv("XDG_RUNTIME_DIR");
    std::filesystem::remove_all(path_);
  }
  bool empty() const { return std::filesystem::is_empty(path_); }

 private:
  std::filesystem::path path_;
};

bool shared_memory_of_ours() {
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    if (entry.path().filename().string().find("brood") != std::string::npos) return true;
  }
  return false;
}

void kill_parent(const std::string& role, std::size_t least_descendants) {
  const leftovers before = leftovers::now();
  {
    const orphanage orphans;
    const scratch files;
    helper_program parent("family_host", {role});
    REQUIRE(parent.read_line() == "ready");
    CHECK(count_descendants(parent.pid()) >= least_descendants);
    parent.kill(SIGKILL);
    CHECK(parent.wait() == -SIGKILL);
    CHECK(orphans.all_gone());
    CHECK(parent.read_all().find("error") == std::string::npos);  // ends, as nobody holds its output any more
    CHECK(files.empty());
    CHECK_FALSE(shared_memory_of_ours());
  }
  CHECK(leftovers::now() == before);
}

}  // namespace

TEST_CASE("no child, grandchild, program or fork server outlives an idle parent") { kill_parent("idle", 20); }

TEST_CASE("no child outlives a parent that is killed while it spawns functions") {
  for (int i = 0; i < 5; ++i) kill_parent("storm", 10);
}

TEST_CASE("no program, nor what it started, outlives a parent that is killed while it spawns programs") {
  for (int i = 0; i < 5; ++i) kill_parent("programs", 10);
}
