// What a child leaves running when it ends, by itself or not: killed, reported or allowed.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/process/command.hpp"
#include "brood/process/spawn.hpp"
#include "brood/system/unique_fd.hpp"
#include "catch.hpp"
#include "helper_program.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;

namespace {

/// A process that this one did not start. Lifetime: killed if it is there still.
class stranger {
 public:
  explicit stranger(const std::string& pid)
      : pidfd_(static_cast<int>(syscall(SYS_pidfd_open, std::stoi(pid), 0))) {
    REQUIRE(pidfd_);
  }
  stranger(stranger&&) = default;
  ~stranger() {
    if (pidfd_) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  }
  bool runs() const { return !ends_within(0ms); }
  /// Whether it ends, within what a process needs that is being killed on a busy machine.
  bool ends() const { return ends_within(10s); }

 private:
  bool ends_within(std::chrono::milliseconds patience) const {
    pollfd ended{pidfd_.get(), POLLIN, 0};
    return poll(&ended, 1, static_cast<int>(patience.count())) == 1;
  }
  brood::unique_fd pidfd_;
};

/// Of one that was killed before: whether it has gone, or goes within that time.
bool is_ended(pid_t pid) {
  const brood::unique_fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  pollfd ended{pidfd.get(), POLLIN, 0};
  return !pidfd || poll(&ended, 1, 10'000) == 1;
}

/// On a runtime of its own, without `run_clean`: a stranger's descriptor stays.
template <class Body>
void run_alone(Body body) {
  brood::runtime loop;
  loop.run_until_complete(body());
}

/// The shapes of a grandchild: how a shell starts one and tells its pid.
const std::string in_its_group = "sleep 1000 >&2 & echo $!; ";
const std::string in_a_session = "setsid sleep 1000 >&2 & echo $!; ";
const std::string in_a_group = "set -m; sleep 1000 >&2 & echo $!; ";

brood::command bash(std::string script) {
  return brood::command("bash", "-c", std::move(script)).stdout_(brood::piped).stderr_(brood::null);
}

brood::task<stranger> read_stranger(brood::reader from) {
  const auto pid = co_await from.read_line();
  co_return stranger(pid.value_or(""));
}

/// Runs a program in a nursery and cancels that when the grandchild runs.
brood::task<stranger> cancel(std::string script) {
  std::optional<stranger> grandchild;
  co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
    auto program = co_await n.spawn(bash(script));
    grandchild.emplace(co_await read_stranger(program.stdout_()));
    CHECK(grandchild->runs());
    n.cancel();
  });
  co_return std::move(*grandchild);
}

void leave_one(std::string file) {
  static_cast<void>(std::system(("sleep 1000 >&2 & echo $! >" + file).c_str()));
}

}  // namespace

TEST_CASE("a status that is cancelled leaves nothing of a program that waits for another") {
  run_clean([]() -> brood::task<> {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    brood::reader from{brood::unique_fd(ends[0])};
    const brood::unique_fd to(ends[1]);
    std::optional<stranger> grandchild;
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      auto run =
          brood::command("sh", "-c", "sleep 1000 >&2 & echo $!; wait; echo done").stdout_(to.get()).status();
      n.start(std::move(run));
      grandchild.emplace(co_await read_stranger(from));
      n.cancel();
    });
    CHECK(grandchild->ends());
  });
}

TEST_CASE("a cancelled scope leaves no grandchild of a program that runs, whatever its shape") {
  for (const std::string& shape : {in_its_group, in_a_session, in_a_group}) {
    INFO(shape);
    run_clean([&]() -> brood::task<> {
      const stranger grandchild = co_await cancel(shape + "wait");
      CHECK(grandchild.ends());
    });
  }
}

TEST_CASE("a deadline leaves no grandchild of a program that runs, whatever its shape") {
  for (const std::string& shape : {in_its_group, in_a_session, in_a_group}) {
    INFO(shape);
    run_clean([&]() -> brood::task<> {
      auto program = co_await bash(shape + "wait").deadline(1s).spawn();
      const stranger grandchild = co_await read_stranger(program.stdout_());
      const auto status = co_await program.join();
      CHECK(status.deadline_passed);
      CHECK(grandchild.ends());
    });
  }
}

TEST_CASE("a program of a nursery that has ended leaves nothing in its group") {
  run_clean([]() -> brood::task<> {
    std::optional<stranger> grandchild;
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      auto program = co_await n.spawn(bash("read line; " + in_its_group).stdin_(brood::piped));
      program.stdin_().close();
      const auto pid = co_await program.stdout_().read_line();
      const auto status = co_await program.join();
      CHECK(status.success());
      CHECK_FALSE(status.leftovers);
      CHECK(is_ended(std::stoi(pid.value_or(""))));
    });
  });
}

TEST_CASE("a function of a nursery leaves nothing in its group") {
  run_clean([]() -> brood::task<> {
    std::string file = "/tmp/brood-leftovers-" + std::to_string(getpid());
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      auto child = co_await n.spawn<leave_one>(file);
      co_await child.join();
    });
    std::ifstream pid(file);
    pid_t left = 0;
    pid >> left;
    CHECK(left > 0);
    CHECK(is_ended(left));
    unlink(file.c_str());
  });
}

TEST_CASE("outside of a nursery it is reported, and ended with the runtime") {
  std::optional<stranger> grandchild;
  run_alone([&]() -> brood::task<> {
    const auto result = co_await bash("read line; " + in_its_group).input("go\n").output();
    CHECK(result.status.leftovers);
    CHECK_FALSE(result.leaked);
    CHECK(brood::describe(result.status) == "exited with 0, and left processes running");
    grandchild.emplace(result.out);
    CHECK(grandchild->runs());
  });
  CHECK(grandchild->ends());
}

TEST_CASE("what is allowed runs on") {
  std::optional<stranger> grandchild;
  run_alone([&]() -> brood::task<> {
    const auto result = co_await bash(in_its_group).leftovers(brood::leftovers::allow).output();
    CHECK_FALSE(result.status.leftovers);
    grandchild.emplace(result.out);
  });
  CHECK(grandchild->runs());
}

TEST_CASE("what is to be killed is, outside of a nursery too") {
  run_clean([]() -> brood::task<> {
    auto program = co_await bash("read line; " + in_its_group + "read line")
                       .stdin_(brood::piped)
                       .leftovers(brood::leftovers::kill)
                       .spawn();
    co_await program.stdin_().write("go\n");
    const stranger grandchild = co_await read_stranger(program.stdout_());
    program.stdin_().close();
    const auto status = co_await program.join();
    CHECK_FALSE(status.leftovers);
    CHECK(grandchild.ends());
  });
}

TEST_CASE("a deadline counts for the whole output, not for the program alone") {
  run_clean([]() -> brood::task<> {
    const auto result =
        co_await brood::command("sh", "-c", "sleep 1000 & echo $!").drain(1h).deadline(200ms).output();
    CHECK(result.status.success());
    CHECK(result.leaked);
    CHECK(result.status.leftovers);
    CHECK(result.out.size() > 1);
  });
}

TEST_CASE("an output that a stranger holds is read for so long, and then closed") {
  run_clean([]() -> brood::task<> {
    const auto leaked = co_await brood::command("sh", "-c", "sleep 1000 & echo hi").drain(20ms).output();
    CHECK(leaked.out == "hi\n");
    CHECK(leaked.leaked);
    const auto at_once = co_await brood::command("sh", "-c", "sleep 1000 & :").drain(0ms).output();
    CHECK(at_once.out.empty());
    CHECK(at_once.leaked);
    const auto killed = co_await brood::command("sh", "-c", "sleep 1000 & echo hi")
                            .leftovers(brood::leftovers::kill)
                            .drain(1h)
                            .output();
    CHECK(killed.out == "hi\n");
    CHECK_FALSE(killed.leaked);
    const auto later =
        co_await brood::command("sh", "-c", "(sleep 0.1; echo later) & echo hi").drain(1h).output();
    CHECK(later.out == "hi\nlater\n");
    CHECK_FALSE(later.leaked);
  });
}

TEST_CASE("zombies are no leftovers") {
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < 20; ++i) {
      const auto status = co_await brood::command("sh", "-c", "true & exec true").status();
      if (status.leftovers) {
        // `true` may have been slower than its parent.
        continue;
      }
      CHECK(status.success());
    }
    const auto sorted = co_await brood::command("sh", "-c", "true & true & wait").status();
    CHECK_FALSE(sorted.leftovers);
  });
}

TEST_CASE("many programs of a nursery, of which a tenth leaves something, leave nothing") {
  run_clean([]() -> brood::task<> {
    std::vector<int> left;
    const auto one = [&](brood::nursery& n, bool leaves) -> brood::task<> {
      auto program = co_await n.spawn(bash(leaves ? in_its_group : "echo 0"));
      const auto pid = co_await program.stdout_().read_line();
      if (leaves) left.push_back(std::stoi(pid.value_or("0")));
      co_await program.join();
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      for (int i = 0; i < 200; ++i) n.start(one(n, i % 10 == 0));
      co_return;
    });
    CHECK(left.size() == 20);
    for (const int pid : left) CHECK(is_ended(pid));
  });
}

TEST_CASE("a program that exits with an error is none of its nursery") {
  run_clean([]() -> brood::task<> {
    co_await brood::with_nursery([](brood::nursery& n) -> brood::task<> {
      auto program = co_await n.spawn(brood::command("false"));
      const auto status = co_await program.join();
      CHECK(status.exitcode == 1);
    });
  });
}

TEST_CASE("SIGINT ends an application with all that its programs have started") {
  helper_program parent("leftover_host");
  std::vector<stranger> grandchildren;
  for (int i = 0; i < 4; ++i) grandchildren.emplace_back(parent.read_line().value_or(""));
  parent.kill(SIGINT);
  CHECK(parent.wait() == 128 + SIGINT);
  for (const stranger& each : grandchildren) CHECK(each.ends());
}
