// A host that meets limits. usage: limited_host processes|permissions|memory|descriptors
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "../bodies.hpp"
#include "brood/brood.hpp"
#include "program.hpp"

namespace {

int square(int x) { return x * x; }
std::size_t length_of(const std::string& text) { return text.size(); }

void set_soft_limit(__rlimit_resource which, rlim_t value) {
  rlimit limit{};
  getrlimit(which, &limit);
  limit.rlim_cur = value;
  require(setrlimit(which, &limit) == 0, "setrlimit");
}

brood::task<> expect_square() {
  auto child = co_await brood::spawn<square>(5);
  require(co_await child.result() == 25, "a spawn afterwards");
}

template <class Operation>
brood::task<> expect_failure(Operation operation, int error, std::string step) {
  try {
    co_await std::move(operation);
    require(false, "no failure: " + step);
  } catch (const std::system_error& e) {
    require(e.code().value() == error && std::string(e.what()).find(step) != std::string::npos, e.what());
  }
  co_await expect_square();
}

std::size_t descriptors_of(pid_t pid) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    ++count;
  }
  return count;
}

/// Spawns until there are too many processes, of each kind.
brood::task<> exhaust_processes() {
  std::vector<brood::process<void>> children;
  int refused = 0;
  const std::size_t before = descriptors_of(brood::fork_server_pid());
  for (int i = 0; i < 200 && refused < 20; ++i) {
    try {
      if (refused % 2 == 0) {
        children.push_back(co_await brood::spawn<wait_for_ever>());
      } else {
        co_await brood::command("true").status();
      }
    } catch (const std::system_error& e) {
      require(e.code().value() == EAGAIN && std::string(e.what()).find("clone") != std::string::npos,
              e.what());
      ++refused;
    }
  }
  require(refused == 20, "no refusal");
  for (const auto& child : children) child.kill();
  for (const auto& child : children) co_await child.join();
  co_await expect_square();
  // It may still hold the one of the last child, of whose end it has just told.
  require(descriptors_of(brood::fork_server_pid()) <= before + 1, "the fork server has lost descriptors");
}

brood::task<> want_what_is_not_permitted() {
  const std::string folder =
      std::filesystem::temp_directory_path() / ("brood-limited-" + std::to_string(getpid()));
  require(mkdir(folder.c_str(), 0000) == 0, "mkdir");
  co_await expect_failure(brood::spawn<square>(1).cwd(folder), EACCES, "chdir");
  co_await expect_failure(brood::command("true").cwd(folder).status(), EACCES, "chdir");
  co_await expect_failure(brood::command("true").stdin_(folder + "/file").status(), EACCES,
                          "standard stream");
  co_await expect_failure(brood::spawn<square>(1).nice(-20), EACCES, "setpriority");
  rmdir(folder.c_str());
}

brood::task<> send_more_than_fits() {
  // The fork server has the limit of init; this process has lifted its own.
  set_soft_limit(RLIMIT_AS, RLIM_INFINITY);
  const std::string large(std::size_t{512} << 20, 'x');
  co_await expect_failure(brood::spawn<length_of>(large), ENOMEM, "");
}

brood::task<> have_many_children() {
  const char* model = std::getenv("BROOD_TEST_MODEL");
  const int count = model != nullptr && std::string(model) == "exec" ? 100 : 500;
  std::vector<brood::process<void>> children;
  for (int i = 0; i < count; ++i) children.push_back(co_await brood::spawn<wait_for_ever>());
  for (const auto& child : children) child.terminate();
  for (const auto& child : children) {
    const auto status = co_await child.join();
    require(status.known && status.exitcode == -SIGTERM, "a status");
  }
  const auto limit = co_await brood::command("sh", "-c", "ulimit -Sn").output();
  require(limit.out == "64\n", "a program's limit is not the one of the start: " + limit.out);
}

brood::task<int> application(std::vector<std::string> words) {
  const std::string role = words.at(1);
  if (role == "processes") co_await exhaust_processes();
  if (role == "permissions") co_await want_what_is_not_permitted();
  if (role == "memory") co_await send_more_than_fits();
  if (role == "descriptors") co_await have_many_children();
  tell("survived");
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc == 2 ? argv[1] : "";
  if (role == "processes" || role == "permissions") {
    // root is exempt from both.
    if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(54321) != 0 || setuid(54321) != 0)) {
      tell("survived");  // a container without the right to become somebody else
      return 0;
    }
  }
  if (role == "processes") prctl(PR_SET_DUMPABLE, 1);  // or /proc shows nothing of ours
  if (role == "processes") set_soft_limit(RLIMIT_NPROC, 20);
  if (role == "memory") set_soft_limit(RLIMIT_AS, std::size_t{300} << 20);
  if (role == "descriptors") set_soft_limit(RLIMIT_NOFILE, 64);
  return brood::run(argc, argv, application, settings_under_test());
}
