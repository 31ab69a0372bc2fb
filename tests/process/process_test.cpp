// process: the handle of a child.
#include "brood/process/process.hpp"

#include <csignal>

#include "bodies.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;

namespace {

int add(int a, int b) { return a + b; }

struct portrait {
  pid_t pid = 0;
  std::string name;
  bool daemon = false;
  std::vector<std::byte> authkey;
  std::string first;
  std::vector<int> second;
};

portrait portray(std::string first, std::vector<int> second) {
  wait_for_end_of_input();
  const auto self = brood::current_process();
  return {self.pid(),       self.name(),      self.daemon(), {self.authkey().begin(), self.authkey().end()},
          std::move(first), std::move(second)};
}

bool is_active(pid_t pid) {
  for (const auto& child : brood::active_children()) {
    if (child.pid() == pid) return true;
  }
  return false;
}

brood::task<brood::process<void>> start_waiting_child() { co_return co_await brood::spawn<wait_for_ever>(); }

}  // namespace

TEST_CASE("arguments, name, key and pid reach the child, which is active until it is joined") {
  run_clean([]() -> brood::task<> {
    const std::vector<int> numbers{1, 2, 3};
    auto child = co_await brood::spawn<portray>("text", numbers).name("painter").stdin_(brood::piped);
    CHECK(child.name() == "painter");
    CHECK_FALSE(child.daemon());
    CHECK(child.is_alive());
    CHECK_FALSE(child.exitcode().has_value());
    CHECK(is_active(child.pid()));
    child.stdin_().close();
    const portrait seen = co_await child.result();
    CHECK(seen.pid == child.pid());
    CHECK(seen.name == "painter");
    CHECK_FALSE(seen.daemon);
    const auto key = brood::current_process().authkey();
    CHECK(seen.authkey == std::vector<std::byte>(key.begin(), key.end()));
    CHECK(seen.first == "text");
    CHECK(seen.second == numbers);
    co_await child.join();
    CHECK_FALSE(child.is_alive());
    CHECK(child.exitcode() == 0);
    CHECK_FALSE(is_active(child.pid()));
  });
}

TEST_CASE("children without a name are numbered") {
  run_clean([]() -> brood::task<> {
    auto first = co_await brood::spawn<add>(1, 2);
    auto second = co_await brood::spawn<add>(3, 4);
    CHECK_THAT(first.name(), contains_text("process-"));
    CHECK(first.name() != second.name());
    const auto first_result = co_await first.result();
    CHECK(first_result == 3);
    const auto second_result = co_await second.result();
    CHECK(second_result == 7);
  });
}

TEST_CASE("a join without patience gives up at once, and the child runs on") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<wait_for_ever>();
    CHECK_THROWS_AS(co_await brood::with_timeout(0ms, child.join()), brood::timed_out);
    CHECK_THROWS_AS(co_await brood::with_timeout(-1ms, child.join()), brood::timed_out);
    CHECK_THROWS_AS(co_await brood::with_timeout(1ms, child.result()), brood::timed_out);
    CHECK(child.is_alive());
    child.kill();
    co_await child.join();
  });
}

TEST_CASE("terminate, kill, interrupt and any signal end a child and are told in its status") {
  run_clean([]() -> brood::task<> {
    const int signals[] = {SIGTERM, SIGKILL, SIGINT, SIGUSR1};
    for (const int signal : signals) {
      auto child = co_await brood::spawn<wait_for_ever>();
      if (signal == SIGTERM) child.terminate();
      if (signal == SIGKILL) child.kill();
      if (signal == SIGINT) child.interrupt();
      if (signal == SIGUSR1) child.send_signal(SIGUSR1);
      const auto status = co_await child.join();
      CHECK(status.exitcode == -signal);
      CHECK(status.signal == signal);
      CHECK_FALSE(status.success());
      CHECK(child.exitcode() == -signal);
      CHECK_FALSE(is_active(child.pid()));
    }
  });
}

TEST_CASE("a handle that was moved from names its child still") {
  run_clean([]() -> brood::task<> {
    auto first = co_await brood::spawn<[] {}>();
    const brood::process<> second = std::move(first);
    CHECK(first.pid() == second.pid());
    co_await first.result();
    CHECK(second.exitcode() == 0);
  });
}

TEST_CASE("signals to a child that has ended do nothing") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<add>(1, 1);
    co_await child.join();
    child.terminate();
    child.kill();
    child.interrupt();
    child.kill_tree();
    const auto child_result = co_await child.result();
    CHECK(child_result == 2);
    CHECK(child.exitcode() == 0);
  });
}

TEST_CASE("any number of coroutines join the same child, before and after its end") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<wait_for_end_of_input>().stdin_(brood::piped);
    std::vector<brood::task<brood::exit_status>> joins;
    for (int i = 0; i < 100; ++i) joins.push_back(child.join());
    auto close_input = [](brood::process<void> of) -> brood::task<> {
      of.stdin_().close();
      co_return;
    };
    auto [statuses, closed] = co_await brood::when_all(brood::when_all(std::move(joins)), close_input(child));
    CHECK(statuses.size() == 100);
    for (const auto& status : statuses) CHECK(status.success());
    const auto child_status = co_await child.join();
    CHECK(child_status.success());
  });
}

TEST_CASE("copies of a handle name the same child") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<wait_for_ever>();
    const auto copy = child;
    copy.terminate();
    co_await child.join();
    CHECK(copy.exitcode() == -SIGTERM);
    CHECK(copy.pid() == child.pid());
  });
}

TEST_CASE("a child whose handle was dropped is reaped by the runtime") {
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < 10; ++i) static_cast<void>(co_await brood::spawn<add>(i, i));
  });
}

TEST_CASE("active children are listed oldest first") {
  run_clean([]() -> brood::task<> {
    CHECK(brood::active_children().empty());
    auto first = co_await brood::spawn<wait_for_ever>();
    auto second = co_await brood::spawn<wait_for_ever>();
    const auto active = brood::active_children();
    CHECK(active.size() == 2);
    CHECK(active.front().pid() == first.pid());
    CHECK(active.back().pid() == second.pid());
    first.kill();
    co_await first.join();
    CHECK(brood::active_children().size() == 1);
    second.kill();
    co_await second.join();
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a hundred children start and end with 0") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::process<int>> children;
    for (int i = 0; i < many(100); ++i) children.push_back(co_await brood::spawn<add>(i, 1));
    for (std::size_t i = 0; i < children.size(); ++i) {
      const auto child_result = co_await children[i].result();
      CHECK(child_result == static_cast<int>(i) + 1);
      CHECK(children[i].exitcode() == 0);
    }
  });
}

TEST_CASE("two thousand children, started and terminated at once, all end with SIGTERM") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::task<brood::process<void>>> starts;
    for (int i = 0; i < many(2000); ++i) starts.push_back(start_waiting_child());
    auto children = co_await brood::when_all(std::move(starts));
    for (const auto& child : children) child.terminate();
    int terminated = 0;
    for (const auto& child : children) terminated += (co_await child.join()).exitcode == -SIGTERM;
    CHECK(terminated == static_cast<int>(children.size()));
  });
}
