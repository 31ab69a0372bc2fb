// Children in a nursery: none outlives it, the first error ends them all.
#include "brood/coroutine/nursery.hpp"

#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "bodies.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;

namespace {

/// It unwound, or was asked before its function began.
bool ended_when_asked(const brood::process<void>& child) {
  return child.exitcode() == 128 + SIGTERM || child.exitcode() == -SIGTERM;
}

/// Whatever it is asked.
void say_ready_and_pause() {
  say("ready");
  for (;;) pause();
}

int square(int x) { return x * x; }
void fail() { throw std::runtime_error("failed on purpose"); }
void exit_with(int code) { brood::exit(code); }

void ignore_terminate() {
  std::signal(SIGTERM, SIG_IGN);
  say_ready_and_pause();
}

void end_on_terminate() {
  std::signal(SIGTERM, [](int) { _exit(12); });
  say_ready_and_pause();
}

}  // namespace

TEST_CASE("leaving a nursery joins its children") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::process<int>> children;
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      for (int i = 0; i < 10; ++i) children.push_back(co_await n.spawn<square>(i));
    });
    for (int i = 0; i < 10; ++i) {
      CHECK_FALSE(children[static_cast<std::size_t>(i)].is_alive());
      const auto child_result = co_await children[static_cast<std::size_t>(i)].result();
      CHECK(child_result == i * i);
    }
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("the first child's error terminates the others and leaves the nursery") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::process<void>> waiting;
    auto body = [&](brood::nursery& n) -> brood::task<> {
      for (int i = 0; i < 5; ++i) waiting.push_back(co_await n.spawn<wait_for_ever>());
      co_await n.spawn<fail>().stderr_(brood::null);
    };
    CHECK_THROWS_AS(co_await brood::with_nursery(body), brood::remote_error);
    for (const auto& child : waiting) CHECK(ended_when_asked(child));
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a child that dies without a result is an error of the nursery") {
  run_clean([]() -> brood::task<> {
    auto body = [](brood::nursery& n) -> brood::task<> { co_await n.spawn<exit_with>(3); };
    CHECK_THROWS_AS(co_await brood::with_nursery(body), brood::child_died);
  });
}

TEST_CASE("an error of the body terminates the children") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::process<void>> waiting;
    auto body = [&](brood::nursery& n) -> brood::task<> {
      waiting.push_back(co_await n.spawn<wait_for_ever>());
      throw std::logic_error("the body's own");
    };
    CHECK_THROWS_WITH(co_await brood::with_nursery(body), "the body's own");
    CHECK(ended_when_asked(waiting.front()));
  });
}

TEST_CASE("a child that its owner has terminated is no error of the nursery") {
  run_clean([]() -> brood::task<> {
    co_await brood::with_nursery([](brood::nursery& n) -> brood::task<> {
      auto terminated = co_await n.spawn<wait_for_ever>();
      auto killed = co_await n.spawn<wait_for_ever>();
      terminated.terminate();
      killed.kill_tree();
    });
  });
}

TEST_CASE("a cancelled nursery ends its children: SIGTERM first, SIGKILL after the grace period") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::process<void>> children;
    auto body = [&](brood::nursery& n) -> brood::task<> {
      children.push_back(co_await n.spawn<end_on_terminate>().stdout_(brood::piped));
      children.push_back(co_await n.spawn<ignore_terminate>().stdout_(brood::piped));
      for (auto& child : children) co_await child.stdout_().read_line();
      n.cancel();
    };
    co_await brood::with_nursery(body);
    CHECK(children[0].exitcode() == 12);
    CHECK(children[1].exitcode() == -SIGKILL);
  });
}

TEST_CASE("a nursery out of time ends its children and throws timed_out") {
  run_clean([]() -> brood::task<> {
    auto body = [](brood::nursery& n) -> brood::task<> {
      co_await n.spawn<wait_for_ever>();
      co_await n.spawn<wait_for_ever>();
    };
    CHECK_THROWS_AS(co_await brood::with_timeout(50ms, brood::with_nursery(body)), brood::timed_out);
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a spawn cancelled at any moment leaves no child") {
  run_clean([]() -> brood::task<> {
    for (int moment = 0; moment < 40; ++moment) {
      auto body = [&](brood::nursery& n) -> brood::task<> {
        n.start(
            []() -> brood::task<> { static_cast<void>(co_await brood::spawn<wait_for_end_of_input>()); }());
        n.start([](brood::nursery& outer) -> brood::task<> {
          for (;;) co_await outer.spawn<wait_for_ever>();
        }(n));
        for (int i = 0; i < moment; ++i) co_await brood::yield();
        n.cancel();
      };
      co_await brood::with_nursery(body);
    }
  });
}

TEST_CASE("a thousand children of a nursery are terminated together") {
  run_clean([]() -> brood::task<> {
    co_await brood::with_nursery([](brood::nursery& n) -> brood::task<> {
      for (int i = 0; i < many(1000); ++i) co_await n.spawn<wait_for_ever>();
      n.cancel();
    });
    CHECK(brood::active_children().empty());
  });
}
