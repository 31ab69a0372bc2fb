// Failures at every step of a start: a typed error that names the step, nothing is left, the next start works.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "bodies.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "helper_program.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

namespace {

int square(int x) { return x * x; }
std::string make_bytes(std::size_t size) { return std::string(size, 'x'); }
std::size_t length_of(const std::string& text) { return text.size(); }

void burn() {
  for (;;) static_cast<void>(getppid());
}
std::size_t allocate(std::size_t bytes) {
  void* (*volatile allocate_memory)(std::size_t) = &operator new;  // or the compiler need not allocate at all
  return allocate_memory(bytes) != nullptr ? bytes : 0;
}
void open_many(int count) {
  for (int i = 0; i < count; ++i) {
    if (open("/dev/null", O_RDONLY) < 0) throw std::system_error(errno, std::system_category(), "open");
  }
}
void write_much(const std::string& path, std::size_t bytes) {
  std::ofstream file(path);
  file << std::string(bytes, 'x') << std::flush;
}

/// Awaits `operation` and checks that it fails with errno `error` and text `step`.
template <class Operation>
brood::task<> expect_failure(Operation operation, int error, std::string step) {
  try {
    co_await std::move(operation);
    FAIL_CHECK("did not fail: " << step);
  } catch (const std::system_error& e) {
    CHECK(e.code().value() == error);
    CHECK_THAT(e.what(), contains_text(step));
  }
  auto next = co_await brood::spawn<square>(3);
  const auto next_result = co_await next.result();
  CHECK(next_result == 9);
}

/// Lowers the soft limit on descriptors to what is in use, while it lives.
class no_more_descriptors {
 public:
  no_more_descriptors(int spare) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(lowest);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(lowest + spare);
    setrlimit(RLIMIT_NOFILE, &few);
  }
  ~no_more_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  no_more_descriptors(const no_more_descriptors&) = delete;
  no_more_descriptors& operator=(const no_more_descriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("a program that is missing, is no program or is a folder") {
  run_clean([]() -> brood::task<> {
    co_await expect_failure(brood::command("/no/such/program").status(), ENOENT, "execve");
    co_await expect_failure(brood::command("no-such-program-in-path").status(), ENOENT, "execve");
    co_await expect_failure(brood::command("no-such-program-in-path").output(), ENOENT, "execve");
    co_await expect_failure(brood::command("no-such-program-in-path").spawn(), ENOENT, "execve");
    co_await expect_failure(brood::command("/etc/passwd").status(), EACCES, "execve");
    co_await expect_failure(brood::command("/usr").status(), EACCES, "execve");
    co_await expect_failure(brood::command("/etc/passwd/x").status(), ENOTDIR, "execve");
  });
}

TEST_CASE("a working directory that is missing or none") {
  run_clean([]() -> brood::task<> {
    co_await expect_failure(brood::command("true").cwd("/no/such/folder").status(), ENOENT, "chdir");
    co_await expect_failure(brood::spawn<square>(1).cwd("/no/such/folder"), ENOENT, "chdir");
    co_await expect_failure(brood::spawn<square>(1).cwd("/etc/passwd"), ENOTDIR, "chdir");
  });
}

TEST_CASE("a standard stream that cannot be opened") {
  run_clean([]() -> brood::task<> {
    co_await expect_failure(brood::command("true").stdin_("/no/such/file").status(), ENOENT,
                            "standard stream");
    co_await expect_failure(brood::spawn<square>(1).stdout_("/no/such/folder/file"), ENOENT,
                            "standard stream");
    co_await expect_failure(brood::spawn<square>(1).stderr_(brood::append_to("/usr")), EISDIR,
                            "standard stream");
    co_await expect_failure(brood::command("true").stdin_(987654).status(), EBADF, "fcntl");
  });
}

TEST_CASE("a CPU that is none, a limit above the hard one, a variable without a name") {
  run_clean([]() -> brood::task<> {
    const std::vector<int> beyond{1'000'000};
    const std::vector<int> missing{1023};
    co_await expect_failure(brood::spawn<square>(1).cpus(beyond), EINVAL, "sched_setaffinity");
    co_await expect_failure(brood::command("true").cpus(missing).status(), EINVAL, "sched_setaffinity");
    if (geteuid() != 0) {
      co_await expect_failure(brood::spawn<square>(1).nice(-20), EACCES, "setpriority");
    }
    co_await expect_failure(brood::spawn<square>(1).limit(brood::resource::files, std::uint64_t{1} << 40),
                            EPERM, "setrlimit");
    co_await expect_failure(brood::spawn<square>(1).env("", "value"), EINVAL, "setenv");
    co_await expect_failure(brood::command("true").env("a=b", "value").status(), EINVAL, "setenv");
    co_await expect_failure(brood::command("").status(), EINVAL, "without a name");
    const std::string with_zero("a\0b", 3);
    co_await expect_failure(brood::command("true", with_zero).status(), EINVAL, "zero byte");
    co_await expect_failure(brood::command("true").env("A", with_zero).status(), EINVAL,
                            "value of a variable");
    co_await expect_failure(brood::spawn<square>(1).env(with_zero, "a"), EINVAL, "name of a variable");
    co_await expect_failure(brood::spawn<square>(1).cwd(std::string("/tmp\0x", 6)), EINVAL,
                            "working directory");
    co_await expect_failure(brood::command("true").stdout_("/dev/null" + with_zero).status(), EINVAL,
                            "standard stream");
  });
}

TEST_CASE("no descriptor is left in the parent: for a pipe, for a large argument, for the child itself") {
  run_clean([]() -> brood::task<> {
    auto first = co_await brood::spawn<square>(2);  // the runtime's own descriptors are there
    co_await first.result();
    {
      const no_more_descriptors none(0);
      CHECK_THROWS_WITH(co_await brood::command("true").output(), contains_text("pipe2"));
    }
    {
      const no_more_descriptors none(0);
      const std::string large(100'000, 'x');
      CHECK_THROWS_WITH(co_await brood::spawn<length_of>(large), contains_text("memfd_create"));
    }
    {
      const no_more_descriptors none(0);
      try {
        co_await brood::spawn<wait_for_ever>();
        FAIL_CHECK("did not fail");
      } catch (const std::system_error& e) {
        CHECK(e.code().value() == EMFILE);
        CHECK_THAT(e.what(), contains_text("descriptors"));
      }
    }
    auto next = co_await brood::spawn<square>(3);
    const auto next_result = co_await next.result();
    CHECK(next_result == 9);
  });
}

TEST_CASE("no descriptor is left in the parent for a large result") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<[](std::size_t size) {
                   wait_for_end_of_input();
                   return make_bytes(size);
                 }>(std::size_t{1} << 20)
                     .stdin_(brood::piped);
    child.stdin_().close();
    const no_more_descriptors none(0);
    // The descriptor that was closed may serve; what matters is that there is an answer.
    try {
      const std::string result = co_await child.result();
      CHECK(result.size() == std::size_t{1} << 20);
    } catch (const std::system_error& e) {
      CHECK_THAT(e.what(), contains_text("cannot receive the result"));
    }
  });
}

TEST_CASE("no descriptor is left when the fork server dies") {
  run_clean([]() -> brood::task<> {
    auto first = co_await brood::spawn<square>(2);
    co_await first.result();
    const pid_t server = brood::fork_server_pid();
    kill(server, SIGKILL);
    {
      const no_more_descriptors none(0);
      try {  // its heir may serve with those it has freed
        auto child = co_await brood::spawn<square>(2);
        const int result = co_await child.result();
        CHECK(result == 4);
      } catch (const std::system_error& e) {
        CHECK(e.code().value() == EMFILE);
      }
    }
    auto next = co_await brood::spawn<square>(3);
    const auto next_result = co_await next.result();
    CHECK(next_result == 9);
  });
}

TEST_CASE("a child that overruns its limits ends, and its status says how") {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("brood-test-" + std::to_string(getpid()))).string();
  run_clean([&]() -> brood::task<> {
    auto time =
        co_await brood::spawn<burn>().limit(brood::resource::cpu_time, 1).limit(brood::resource::core, 0);
    const auto time_status = co_await time.join();
    CHECK(time_status.signal == SIGXCPU);
    auto files =
        co_await brood::spawn<open_many>(200).limit(brood::resource::files, 100).stderr_(brood::null);
    CHECK_THROWS_WITH(co_await files.result(), contains_text("open"));
    auto size =
        co_await brood::spawn<write_much>(path, std::size_t{1} << 20).limit(brood::resource::file_size, 4096);
    const auto size_status = co_await size.join();
    CHECK(size_status.signal == SIGXFSZ);
    if (!sanitized) {  // whose own memory is beyond any limit
      auto memory = co_await brood::spawn<allocate>(std::size_t{1} << 30)
                        .limit(brood::resource::memory, std::size_t{256} << 20)
                        .stderr_(brood::null);
      try {
        co_await memory.result();
        FAIL_CHECK("did not fail");
      } catch (const brood::remote_error& e) {
        CHECK(e.type() == "std::bad_alloc");
      }
    }
    const auto program = co_await brood::command("sh", "-c", "while :; do :; done")
                             .limit(brood::resource::cpu_time, 1)
                             .status();
    CHECK(program.signal == SIGXCPU);
  });
  std::filesystem::remove(path);
}

TEST_CASE("too few processes: EAGAIN, and the next spawn works once others have ended") {
  const auto result = run_helper("limited_host", {"processes"});
  CHECK(result.output == "survived\n");
  CHECK(result.code == 0);
}

TEST_CASE("a folder that may not be entered, a file that may not be read, a priority that may not be had") {
  const auto result = run_helper("limited_host", {"permissions"});
  CHECK(result.output == "survived\n");
  CHECK(result.code == 0);
}

TEST_CASE("no memory for a large argument in the fork server") {
  if (sanitized) return;
  const auto result = run_helper("limited_host", {"memory"});
  CHECK(result.output == "survived\n");
  CHECK(result.code == 0);
}

TEST_CASE("thousands of children under a low limit on descriptors at the start") {
  const auto result = run_helper("limited_host", {"descriptors"});
  CHECK(result.output == "survived\n");
  CHECK(result.code == 0);
}

TEST_CASE("a command that was moved from is refused, and the fork server does not hear of it") {
  run_clean([]() -> brood::task<> {
    const pid_t server = brood::fork_server_pid();
    brood::command once("true");
    brood::command other = std::move(once);
    co_await expect_failure(std::move(once).status(), EINVAL, "moved from");
    const auto status = co_await std::move(other).status();
    CHECK(status.success());
    CHECK(brood::fork_server_pid() == server);
  });
}
