// deadline and kill_tree: the end of a child with all that it has started.
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "bodies.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "orphans.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;

namespace {

int answer() { return 42; }

/// A process in a session of its own, started by another thread than the first, which lives on.
void start_from_a_thread() {
  std::thread([] {
    if (fork() == 0) {
      setsid();
      say("grandchild");
    }
    wait_for_ever();
  }).join();
}

brood::task<> have_children() {
  auto function = co_await brood::spawn<say_ready_and_wait>().stdout_(brood::piped);
  co_await function.stdout_().read_line();
  auto program =
      co_await brood::command("sh", "-c", "sleep 1000 & setsid sleep 1000 & echo ready; sleep 1000")
          .stdout_(brood::piped)
          .spawn();
  co_await program.stdout_().read_line();
  say("ready");
  co_await program.join();
}

}  // namespace

TEST_CASE("a child that runs longer than its deadline is killed, and its status says so") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<wait_for_ever>().deadline(20ms);
    const auto status = co_await child.join();
    CHECK(status.exitcode == -SIGKILL);
    CHECK(status.deadline_passed);
    CHECK_THROWS_WITH(co_await child.result(), contains_text("deadline"));
    const auto program = co_await brood::command("sleep", "1000").deadline(20ms).status();
    CHECK(program.exitcode == -SIGKILL);
    CHECK(program.deadline_passed);
  });
}

TEST_CASE("a deadline beyond all clocks is for ever, a negative one is now") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<wait_for_end_of_input>()
                     .stdin_(brood::piped)
                     .deadline(std::chrono::hours::max());
    const auto program = co_await brood::command("true").deadline(std::chrono::hours::max()).status();
    CHECK(program.success());
    child.stdin_().close();
    const auto status = co_await child.join();
    CHECK(status.success());
    const auto late = co_await brood::command("sleep", "1000").deadline(-1s).status();
    CHECK(late.deadline_passed);
    const auto never = co_await brood::command("sleep", "1000").deadline(std::chrono::hours::min()).status();
    CHECK(never.deadline_passed);
  });
}

TEST_CASE("a child that ends in time does not hear of its deadline") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<answer>().deadline(1h);
    const auto child_result = co_await child.result();
    CHECK(child_result == 42);
    const auto child_status = co_await child.join();
    CHECK_FALSE(child_status.deadline_passed);
    auto killed = co_await brood::spawn<wait_for_ever>().deadline(1h);
    killed.kill();
    const auto killed_status = co_await killed.join();
    CHECK_FALSE(killed_status.deadline_passed);
  });
}

TEST_CASE("a deadline that passes between a child's end and its reaping has not ended it") {
  run_clean([]() -> brood::task<> {
    const auto late = brood::clock::now() + 30ms;
    auto child = co_await brood::spawn<answer>().deadline(30ms).stdout_(brood::piped);
    // Blocks the loop on purpose: the child ends, then its time passes, then the loop looks.
    siginfo_t info;
    waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT | __WALL);
    while (brood::clock::now() < late + 10ms) {
    }
    const auto status = co_await child.join();
    if (status.success()) CHECK_FALSE(status.deadline_passed);
  });
}

TEST_CASE("a deadline ends the whole tree of a child") {
  const orphanage orphans;
  run_clean([&]() -> brood::task<> {
    const auto status = co_await brood::command("sh", "-c", "sleep 1000 & setsid sleep 1000 & sleep 1000")
                            .deadline(50ms)
                            .status();
    CHECK(status.deadline_passed);
    CHECK(orphans.all_gone());
  });
}

TEST_CASE("kill_tree ends a child, its children, theirs, and those in sessions of their own") {
  const orphanage orphans;
  run_clean([&]() -> brood::task<> {
    auto child = co_await brood::spawn<have_children>().stdout_(brood::piped);
    const auto line = co_await child.stdout_().read_line();
    CHECK(line == "ready");
    child.kill_tree();
    const auto child_status = co_await child.join();
    CHECK(child_status.exitcode == -SIGKILL);
    CHECK(orphans.all_gone());
  });
}

TEST_CASE("kill_tree finds what a thread of the child has started") {
  const orphanage orphans;
  run_clean([&]() -> brood::task<> {
    auto child = co_await brood::spawn<start_from_a_thread>().stdout_(brood::piped);
    const auto line = co_await child.stdout_().read_line();
    CHECK(line == "grandchild");
    child.kill_tree();
    co_await child.join();
    // The end of the stream: nobody holds it any more.
    const auto second_line = co_await child.stdout_().read_line();
    CHECK(second_line == std::nullopt);
    CHECK(orphans.all_gone());
  });
}

TEST_CASE("kill_tree of a child that has started nothing, twice") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<wait_for_ever>();
    child.kill_tree();
    child.kill_tree();
    const auto child_status = co_await child.join();
    CHECK(child_status.exitcode == -SIGKILL);
  });
}
