// barrier: what it promises, within one process and between forks.
// (Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.)
#include "brood/sync/barrier.hpp"

#include <atomic>
#include <chrono>
#include <set>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"
#include "shared_page.hpp"

using namespace brood;
using namespace std::chrono_literals;

using test::in_loop;
using test::memory;
using test::shared_page;
using test::throws;

namespace {
/// With the memory taken, so that forks share it.
barrier of(std::uint64_t participants) {
  const barrier b(participants);
  return barrier(b);
}
}  // namespace

TEST_CASE("constructed and never used") {
  memory m;
  const barrier never_used(3);
  const barrier b(3);
  CHECK(b.participants() == 3);
  CHECK(b.waiting() == 0);
  CHECK_FALSE(b.broken());
  CHECK_THROWS_AS(barrier(0), std::invalid_argument);
  CHECK_THROWS_AS(barrier(std::uint64_t{1} << 23), std::invalid_argument);
  CHECK_THROWS_AS(barrier().participants(), std::logic_error);
}

TEST_CASE("test_single_thread: one participant passes") {
  memory m;
  in_loop([]() -> task<> {
    const barrier b(1);
    for (int i = 0; i < 1000; ++i) {
      const auto index = co_await b.arrive();
      REQUIRE(index == 0);
    }
  });
}

TEST_CASE("test_barrier, test_barrier_10, test_wait_return: in lockstep over passes, each index once") {
  memory m;
  constexpr int passes = 10;
  constexpr int parties = 5;
  struct counters {
    std::atomic<int> arrived[passes];
    std::atomic<int> index_sum[passes];
    std::atomic<int> zeros[passes];
    std::atomic<int> early;
  };
  const shared_page<counters> shared;
  const barrier b = of(parties);
  const auto walk = [&]() -> task<> {
    for (int pass = 0; pass < passes; ++pass) {
      ++shared->arrived[pass];
      const auto index = co_await b.arrive();
      if (shared->arrived[pass] != parties) ++shared->early;
      shared->index_sum[pass] += static_cast<int>(index);
      if (index == 0) ++shared->zeros[pass];
    }
  };
  std::vector<test::child> children;
  for (int i = 1; i < parties; ++i) children.emplace_back([&] { in_loop(walk); });
  in_loop(walk);
  for (auto& c : children) CHECK(c.join() == 0);
  CHECK(shared->early == 0);
  for (int pass = 0; pass < passes; ++pass) {
    CHECK(shared->index_sum[pass] == 0 + 1 + 2 + 3 + 4);
    CHECK(shared->zeros[pass] == 1);
  }
}

TEST_CASE("test_action: it runs once, before anybody goes on") {
  memory m;
  in_loop([]() -> task<> {
    const barrier b(4);
    int runs = 0;
    int after = 0;
    const auto walk = [&]() -> task<> {
      const auto action = [&] { ++runs; };
      co_await b.arrive(action);
      CHECK(runs == 1);
      ++after;
    };
    co_await when_all(walk(), walk(), walk(), walk());
    CHECK(after == 4);
    int broken = 0;
    const auto walk_badly = [&]() -> task<> {
      const auto action = [] { throw std::runtime_error("no"); };
      try {
        co_await b.arrive(action);
      } catch (const broken_barrier&) {
        ++broken;
      } catch (const std::runtime_error&) {
        broken += 100;
      }
    };
    co_await when_all(walk_badly(), walk_badly(), walk_badly(), walk_badly());
    CHECK(broken == 103);
    CHECK(b.broken());
  });
}

TEST_CASE("test_abort, test_reset, test_abort_and_reset") {
  memory m;
  m.chunks = 0;
  in_loop([]() -> task<> {
    const barrier b(3);
    int broken = 0;
    int passed = 0;
    const auto walk = [&]() -> task<> {
      try {
        co_await b.arrive();
        ++passed;
      } catch (const broken_barrier&) {
        ++broken;
      }
    };
    const auto aborting = [&](nursery& n) -> task<> {
      n.start(walk());
      n.start(walk());
      while (b.waiting() < 2) co_await yield();
      b.abort();
    };
    co_await with_timeout(10s, with_nursery(aborting));
    CHECK(broken == 2);
    CHECK(b.broken());
    CHECK(b.waiting() == 0);
    co_await walk();  // at once
    CHECK(broken == 3);
    b.reset();
    CHECK_FALSE(b.broken());
    co_await with_timeout(10s, when_all(walk(), walk(), walk()));
    CHECK(passed == 3);
    const auto resetting = [&](nursery& n) -> task<> {
      n.start(walk());
      n.start(walk());
      while (b.waiting() < 2) co_await yield();
      b.reset();
    };
    co_await with_timeout(10s, with_nursery(resetting));
    CHECK(broken == 5);
    CHECK_FALSE(b.broken());
    co_await with_timeout(10s, when_all(walk(), walk(), walk()));
    CHECK(passed == 6);
    CHECK(broken == 5);
  });
}

TEST_CASE("_TestBarrier.test_timeout: one gives up, and all see it broken") {
  memory m;
  in_loop([]() -> task<> {
    const barrier b(3);
    int broken = 0;
    const auto walk = [&]() -> task<> {
      const bool saw = co_await throws<broken_barrier>(b.arrive());
      broken += saw;
    };
    const auto body = [&](nursery& n) -> task<> {
      n.start(walk());
      const bool late = co_await throws<timed_out>(with_timeout(10ms, b.arrive()));
      CHECK(late);
      co_await walk();
    };
    co_await with_timeout(10s, with_nursery(body));
    CHECK(broken == 2);
  });
}

TEST_CASE("cancelled when all had arrived it counts as passed") {
  memory m;
  in_loop([]() -> task<> {
    const barrier b(2);
    bool passed = false;
    const auto walk = [&]() -> task<> {
      co_await b.arrive();
      passed = true;
    };
    const auto body = [&](nursery& n) -> task<> {
      n.start(walk());
      while (b.waiting() < 1) co_await yield();
      co_await b.arrive();
      n.cancel();  // before the other could go on
    };
    try {
      co_await with_nursery(body);
    } catch (const cancelled&) {
    }
    CHECK(passed);
    CHECK_FALSE(b.broken());
  });
}

TEST_CASE("the death of a member breaks it: of one that waits, and of one between two passes") {
  memory m;
  for (const bool waits : {true, false}) {
    const barrier b = of(2);
    const shared_page<std::atomic<bool>> passed;
    test::child member([&] {
      in_loop([&]() -> task<> {
        co_await b.arrive();
        *passed = true;
        if (waits) co_await b.arrive();
        co_await sleep_for(1h);
      });
    });
    in_loop([&]() -> task<> {
      co_await b.arrive();
      while (!*passed) co_await sleep_for(1ms);
      bool broken = false;
      const barrier three = waits ? b : of(2);
      const auto walk = [&]() -> task<> {
        const bool saw = co_await throws<broken_barrier>(b.arrive());
        broken = saw;
      };
      const auto body = [&](nursery& n) -> task<> {
        if (!waits) n.start(walk());
        while (b.waiting() < 1) co_await sleep_for(1ms);
        member.kill();
        member.join();
        if (waits) n.start(walk());
      };
      co_await with_timeout(30s, with_nursery(body));
      CHECK(broken);
      CHECK(b.broken());
      b.reset();
      CHECK_FALSE(b.broken());
    });
  }
}

TEST_CASE("a member that gave its handle up may end as it likes") {
  memory m;
  const barrier b = of(2);
  test::child member([&] {
    barrier mine = b;
    const_cast<barrier&>(b) = barrier();
    in_loop([&]() -> task<> { co_await mine.arrive(); });
    mine = barrier();
  });
  in_loop([&]() -> task<> { co_await b.arrive(); });
  CHECK(member.join() == 0);
  CHECK_FALSE(b.broken());
}

TEST_CASE("barriers travel inside messages") {
  memory m;
  queue<barrier> q(2);
  const barrier b(7);
  CHECK(q.try_put(b));
  const auto back = q.try_get();
  CHECK(*back == b);
  CHECK(back->participants() == 7);
  CHECK_THROWS_AS(decode<barrier>(encode(q)), decode_error);
}
