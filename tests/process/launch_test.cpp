// The setters that spawn and command share.
#include "brood/process/launch.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "bodies.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

namespace {

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}
std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    result[text.substr(0, text.find('='))] = text.substr(text.find('=') + 1);
  }
  return result;
}
std::string directory() { return std::filesystem::current_path().string(); }
int priority() { return getpriority(PRIO_PROCESS, 0); }
std::vector<int> affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> result;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) result.push_back(cpu);
  }
  return result;
}
std::pair<std::uint64_t, std::uint64_t> limit_of(int which) {
  rlimit limit{};
  getrlimit(static_cast<__rlimit_resource>(which), &limit);
  return {limit.rlim_cur, limit.rlim_max};
}
std::vector<pid_t> session_and_group() { return {getpid(), getsid(0), getpgrp()}; }
std::string read_input() {
  std::string result;
  char bytes[256];
  for (ssize_t n; (n = read(0, bytes, sizeof bytes)) > 0;) result.append(bytes, static_cast<std::size_t>(n));
  return result;
}
void write_both() {
  say("to output");
  dup2(2, 1);
  say("to error");
}
bool streams_are_open_and_blocking() {
  for (int fd = 0; fd < 3; ++fd) {
    const int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (flags & O_NONBLOCK) != 0) return false;
  }
  return true;
}
brood::task<std::optional<std::string>> variable_of_grandchild(std::string name) {
  auto grandchild = co_await brood::spawn<variable>(std::move(name));
  co_return co_await grandchild.result();
}
brood::task<std::optional<std::string>> changed_variable_of_grandchild(std::string name, std::string value) {
  setenv(name.c_str(), value.c_str(), 1);
  auto grandchild = co_await brood::spawn<variable>(std::move(name));
  co_return co_await grandchild.result();
}

class temporary_folder {
 public:
  temporary_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "brood-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~temporary_folder() { std::filesystem::remove_all(path_); }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("env sets variables, clear_env leaves only those") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<variable>("BROOD_A").env("BROOD_A", "1").env("BROOD_A", "2");
    const auto child_result = co_await child.result();
    CHECK(child_result == "2");
    auto empty = co_await brood::spawn<variable>("BROOD_A").env("BROOD_A", "");
    const auto empty_result = co_await empty.result();
    CHECK(empty_result == "");
    auto cleared = co_await brood::spawn<environment>().clear_env().env("BROOD_ONLY", "this");
    const auto seen = co_await cleared.result();
    CHECK(seen == std::map<std::string, std::string>{{"BROOD_ONLY", "this"}});
    CHECK_FALSE(variable("BROOD_A").has_value());
  });
}

TEST_CASE("children see the environment and the directory that the parent has when it spawns") {
  const std::string before = directory();
  run_clean([&]() -> brood::task<> {
    setenv("BROOD_LATE", "late", 1);
    const std::string path = std::getenv("PATH");
    unsetenv("PATH");
    std::filesystem::current_path("/usr");
    auto late = co_await brood::spawn<variable>("BROOD_LATE");
    const auto late_result = co_await late.result();
    CHECK(late_result == "late");
    auto gone = co_await brood::spawn<variable>("PATH");
    const auto gone_result = co_await gone.result();
    CHECK(gone_result == std::nullopt);
    auto own = co_await brood::spawn<variable>("BROOD_LATE").env("BROOD_LATE", "setter");
    const auto own_result = co_await own.result();
    CHECK(own_result == "setter");
    auto there = co_await brood::spawn<directory>();
    const auto there_result = co_await there.result();
    CHECK(there_result == "/usr");
    setenv("PATH", path.c_str(), 1);
    unsetenv("BROOD_LATE");
    std::filesystem::current_path(before);
    auto after = co_await brood::spawn<variable>("BROOD_LATE");
    const auto after_result = co_await after.result();
    CHECK(after_result == std::nullopt);
    auto back = co_await brood::spawn<directory>();
    const auto back_result = co_await back.result();
    CHECK(back_result == before);
  });
}

TEST_CASE("a grandchild has the environment of its parent, whatever that one's parent had") {
  run_clean([]() -> brood::task<> {
    auto inherited = co_await brood::spawn<variable_of_grandchild>("BROOD_X").env("BROOD_X", "child");
    const auto inherited_result = co_await inherited.result();
    CHECK(inherited_result == "child");
    setenv("BROOD_X", "parent", 1);
    auto changed = co_await brood::spawn<changed_variable_of_grandchild>("BROOD_X", "changed");
    const auto changed_result = co_await changed.result();
    CHECK(changed_result == "changed");
    unsetenv("BROOD_X");
    setenv("BROOD_TEST_CONSTANT", "first", 1);
    auto child = co_await brood::spawn<changed_variable_of_grandchild>("BROOD_TEST_CONSTANT", "first")
                     .env("BROOD_TEST_CONSTANT", "second");
    const auto child_result = co_await child.result();
    CHECK(child_result == "first");
    unsetenv("BROOD_TEST_CONSTANT");
    const std::string home = variable("PATH").value_or("");
    auto restored =
        co_await brood::spawn<changed_variable_of_grandchild>("PATH", home).env("PATH", "/elsewhere");
    const auto restored_result = co_await restored.result();
    CHECK(restored_result == home);
  });
}

TEST_CASE("cwd sets the directory") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<directory>().cwd("/usr/lib");
    const auto child_result = co_await child.result();
    CHECK(child_result == "/usr/lib");
    const auto program = co_await brood::command("pwd").cwd("/usr").output();
    CHECK(program.out == "/usr\n");
  });
}

TEST_CASE("nice and cpus set priority and affinity") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<priority>().nice(7);
    const auto child_result = co_await child.result();
    CHECK(child_result == 7);
    const int last = affinity().back();
    const std::vector<int> only{last};
    auto bound = co_await brood::spawn<affinity>().cpus(only);
    const auto bound_result = co_await bound.result();
    CHECK(bound_result == only);
    const auto program = co_await brood::command("nice").nice(5).output();
    CHECK(program.out == "5\n");
  });
}

TEST_CASE("limits become the child's") {
  run_clean([]() -> brood::task<> {
    auto files = co_await brood::spawn<limit_of>(int{RLIMIT_NOFILE}).limit(brood::resource::files, 100);
    const auto files_result = co_await files.result();
    CHECK(files_result.second == 100);
    auto size = co_await brood::spawn<limit_of>(int{RLIMIT_FSIZE}).limit(brood::resource::file_size, 1 << 20);
    const auto size_result = co_await size.result();
    CHECK(size_result.first == 1 << 20);
    auto core = co_await brood::spawn<limit_of>(int{RLIMIT_CORE}).limit(brood::resource::core, 0);
    const auto core_result = co_await core.result();
    CHECK(core_result.first == 0);
    auto time = co_await brood::spawn<limit_of>(int{RLIMIT_CPU}).limit(brood::resource::cpu_time, 30);
    const auto time_result = co_await time.result();
    CHECK(time_result.first == 30);
    auto stack = co_await brood::spawn<limit_of>(int{RLIMIT_STACK}).limit(brood::resource::stack, 4 << 20);
    const auto stack_result = co_await stack.result();
    CHECK(stack_result.first == 4 << 20);
    auto other = co_await brood::spawn<limit_of>(int{RLIMIT_SIGPENDING}).limit(RLIMIT_SIGPENDING, 50);
    const auto other_result = co_await other.result();
    CHECK(other_result.first == 50);
    const auto program =
        co_await brood::command("sh", "-c", "ulimit -n").limit(brood::resource::files, 77).output();
    CHECK(program.out == "77\n");
  });
}

TEST_CASE("no limit on CPU time is no limit: one second more does not wrap to none at all") {
  run_clean([]() -> brood::task<> {
    rlimit own{};
    getrlimit(RLIMIT_CPU, &own);
    if (own.rlim_max != RLIM_INFINITY) co_return;
    auto child =
        co_await brood::spawn<limit_of>(int{RLIMIT_CPU}).limit(brood::resource::cpu_time, RLIM_INFINITY);
    const auto limits = co_await child.result();
    CHECK(limits == std::pair<std::uint64_t, std::uint64_t>(RLIM_INFINITY, RLIM_INFINITY));
  });
}

TEST_CASE("a function's standard input is empty unless set, all three streams are open and blocking") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<read_input>();
    const auto child_result = co_await child.result();
    CHECK(child_result.empty());
    auto open = co_await brood::spawn<streams_are_open_and_blocking>();
    const auto open_result = co_await open.result();
    CHECK(open_result);
    auto piped = co_await brood::spawn<streams_are_open_and_blocking>()
                     .stdin_(brood::piped)
                     .stdout_(brood::piped)
                     .stderr_(brood::piped);
    const auto piped_result = co_await piped.result();
    CHECK(piped_result);
  });
}

TEST_CASE("streams: pipes") {
  run_clean([]() -> brood::task<> {
    auto reader = co_await brood::spawn<read_input>().stdin_(brood::piped);
    co_await reader.stdin_().write("some bytes");
    reader.stdin_().close();
    const auto reader_result = co_await reader.result();
    CHECK(reader_result == "some bytes");
    auto writer = co_await brood::spawn<write_both>().stdout_(brood::piped).stderr_(brood::piped);
    const auto text = co_await writer.stdout_().read_all();
    CHECK(text == "to output\n");
    const auto second_text = co_await writer.stderr_().read_all();
    CHECK(second_text == "to error\n");
    co_await writer.result();
  });
}

TEST_CASE("streams: files, created, emptied and appended to") {
  const temporary_folder folder;
  run_clean([&]() -> brood::task<> {
    for (int i = 0; i < 2; ++i) {
      auto child = co_await brood::spawn<write_both>()
                       .stdout_(folder / "out")
                       .stderr_(brood::append_to(folder / "err"));
      co_await child.result();
    }
    CHECK(contents_of(folder / "out") == "to output\n");
    CHECK(contents_of(folder / "err") == "to error\nto error\n");
    auto reader = co_await brood::spawn<read_input>().stdin_(folder / "out");
    const auto reader_result = co_await reader.result();
    CHECK(reader_result == "to output\n");
    const auto copied = co_await brood::command("cat")
                            .stdin_(folder / "out")
                            .stdout_(folder / "copy")
                            .cwd(folder.path())
                            .status();
    CHECK(copied.success());
    CHECK(contents_of(folder / "copy") == "to output\n");
  });
}

TEST_CASE("streams: descriptors, null, and the parent's own") {
  const temporary_folder folder;
  run_clean([&]() -> brood::task<> {
    {
      const brood::unique_fd file(open((folder / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      auto child = co_await brood::spawn<write_both>().stdout_(file.get()).stderr_(file.get());
      co_await child.result();
    }
    CHECK(contents_of(folder / "file") == "to output\nto error\n");
    auto quiet = co_await brood::spawn<write_both>().stdout_(brood::null).stderr_(brood::null);
    co_await quiet.result();
    // The parent's own standard output, for the moment a pipe.
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const int kept = fcntl(1, F_DUPFD_CLOEXEC, 3);
    dup2(ends[1], 1);
    close(ends[1]);
    auto inheriting = co_await brood::spawn<write_both>().stdout_(brood::inherit).stderr_(brood::null);
    co_await inheriting.result();
    co_await brood::command("echo", "program").status();
    dup2(kept, 1);
    close(kept);
    brood::reader output{brood::unique_fd(ends[0])};
    const auto text = co_await output.read_all();
    CHECK(text == "to output\nprogram\n");
  });
}

TEST_CASE("a child that closes its standard input, or all of its streams, ends well") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<[] {
      close(0);
      close(1);
      close(2);
      return open("/dev/null", O_RDONLY);
    }>();
    const auto child_result = co_await child.result();
    CHECK(child_result == 0);
    // A queue or a pool of its own works there too: here, a child.
    auto parent = co_await brood::spawn<[]() -> brood::task<std::string> {
      close(0);
      auto grandchild = co_await brood::spawn<read_input>().stdin_(brood::piped);
      co_await grandchild.stdin_().write("through");
      grandchild.stdin_().close();
      co_return co_await grandchild.result();
    }>();
    const auto parent_result = co_await parent.result();
    CHECK(parent_result == "through");
  });
}

TEST_CASE("a FIFO that nobody writes does not keep the others from starting") {
  const temporary_folder folder;
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  run_clean([&]() -> brood::task<> {
    auto waiting = co_await brood::command("cat").stdin_(folder / "fifo").stdout_(brood::piped).spawn();
    auto other = co_await brood::spawn<[] { return 7; }>();
    const auto other_result = co_await other.result();
    CHECK(other_result == 7);
    waiting.kill();
    co_await waiting.join();
  });
}

TEST_CASE("children are in groups of their own, detached ones in sessions of their own") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<session_and_group>();
    const auto seen = co_await child.result();
    CHECK(seen[0] == seen[2]);
    CHECK(seen[1] == getsid(0));
    auto detached = co_await brood::spawn<session_and_group>().detached();
    const auto own = co_await detached.result();
    CHECK(own[0] == own[1]);
    CHECK(own[0] == own[2]);
  });
}
