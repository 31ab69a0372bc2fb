// current: this process, its parent, its children, its CPUs.
#include "brood/process/current.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "bodies.hpp"
#include "brood/process/command.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "orphans.hpp"
#include "run_clean.hpp"

namespace {

struct relatives {
  pid_t parent = 0;
  std::string parent_name;
  bool parent_alive = false;
  bool has_parent = false;
  std::string name;
  std::size_t children = 0;

  static relatives now() {
    relatives r;
    if (const auto parent = brood::parent_process()) {
      r.has_parent = true;
      r.parent = parent->pid();
      r.parent_name = parent->name();
      r.parent_alive = parent->is_alive();
    }
    r.name = brood::current_process().name();
    return r;
  }
};

brood::task<relatives> look_at_relatives() {
  relatives r = relatives::now();
  r.children = brood::active_children().size();
  co_return r;
}

brood::task<relatives> relatives_of_grandchild() {
  auto grandchild = co_await brood::spawn<look_at_relatives>().name("grandchild");
  co_return co_await grandchild.result();
}

/// Tells on the descriptor that it inherits as standard output what it sees of its parent, before and after that one's end.
void watch_parent() {
  const auto parent = brood::parent_process();
  say(parent && parent->is_alive() ? "alive" : "gone");
  while (parent->is_alive()) sched_yield();
  say("gone");
}

brood::task<> have_detached_child() {
  auto child = co_await brood::spawn<watch_parent>().detached().stdout_(brood::inherit);
  for (;;) co_await child.join();
}

int usable_cpus() { return brood::cpu_count(); }

struct flags {
  bool daemon = false;
  std::vector<std::byte> key;
};
flags own_flags() {
  const auto self = brood::current_process();
  return {self.daemon(), {self.authkey().begin(), self.authkey().end()}};
}
brood::task<flags> flags_of_grandchild() {
  auto grandchild = co_await brood::spawn<own_flags>();
  co_return co_await grandchild.result();
}

}  // namespace

TEST_CASE("the first process: alive, no daemon, a key, no parent") {
  const auto self = brood::current_process();
  CHECK(self.pid() == getpid());
  CHECK(self.name() == "main");
  CHECK_FALSE(self.daemon());
  CHECK(self.authkey().size() == 32);
  CHECK(std::any_of(self.authkey().begin(), self.authkey().end(),
                    [](std::byte b) { return b != std::byte{}; }));
  CHECK_FALSE(brood::parent_process().has_value());
}

TEST_CASE("a child sees its parent's pid and name, and no children of others") {
  run_clean([]() -> brood::task<> {
    auto sibling = co_await brood::spawn<wait_for_ever>();
    auto child = co_await brood::spawn<look_at_relatives>().name("only");
    const relatives seen = co_await child.result();
    CHECK(seen.has_parent);
    CHECK(seen.parent == getpid());
    CHECK(seen.parent_name == "main");
    CHECK(seen.parent_alive);
    CHECK(seen.name == "only");
    CHECK(seen.children == 0);
    sibling.kill();
    co_await sibling.join();
  });
}

TEST_CASE("a grandchild's parent is the child") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<relatives_of_grandchild>().name("middle");
    const relatives seen = co_await child.result();
    CHECK(seen.parent == child.pid());
    CHECK(seen.parent_name == "middle");
    CHECK(seen.name == "grandchild");
  });
}

TEST_CASE("a grandchild that is detached observes its parent's death") {
  const orphanage orphans;
  run_clean([&]() -> brood::task<> {
    auto child = co_await brood::spawn<have_detached_child>().stdout_(brood::piped);
    const auto first = co_await child.stdout_().read_line();
    CHECK(first == "alive");
    child.terminate();
    co_await child.join();
    const auto line = co_await child.stdout_().read_line();
    CHECK(line == "gone");
    const auto second_line = co_await child.stdout_().read_line();
    CHECK(second_line == std::nullopt);
    CHECK(orphans.all_gone());
  });
}

TEST_CASE("being a daemon is inherited or said") {
  run_clean([]() -> brood::task<> {
    auto plain = co_await brood::spawn<own_flags>();
    const auto plain_result = co_await plain.result();
    CHECK_FALSE(plain_result.daemon);
    auto daemon = co_await brood::spawn<own_flags>().daemon();
    CHECK(daemon.daemon());
    const auto daemon_result = co_await daemon.result();
    CHECK(daemon_result.daemon);
    auto no_daemon = co_await brood::spawn<own_flags>().daemon(false);
    const auto no_daemon_result = co_await no_daemon.result();
    CHECK_FALSE(no_daemon_result.daemon);
    auto of_daemon = co_await brood::spawn<flags_of_grandchild>().daemon();
    const flags grandchild = co_await of_daemon.result();
    CHECK(grandchild.daemon);
    const auto key = brood::current_process().authkey();
    CHECK(grandchild.key == std::vector<std::byte>(key.begin(), key.end()));
  });
}

TEST_CASE("at least one CPU, and no more than the affinity allows") {
  CHECK(brood::cpu_count() >= 1);
  cpu_set_t mine;
  CPU_ZERO(&mine);
  REQUIRE(sched_getaffinity(0, sizeof mine, &mine) == 0);
  CHECK(brood::cpu_count() <= CPU_COUNT(&mine));
  int first = 0;
  while (!CPU_ISSET(first, &mine)) ++first;
  run_clean([&]() -> brood::task<> {
    const std::vector<int> only{first};
    auto child = co_await brood::spawn<usable_cpus>().cpus(only);
    const auto child_result = co_await child.result();
    CHECK(child_result == 1);
  });
}
