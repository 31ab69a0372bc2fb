// event: what it promises, within one process and between forks.
// (Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.)
#include "brood/sync/event.hpp"

#include <chrono>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace brood;
using namespace std::chrono_literals;

using test::in_loop;
using test::made;
using test::memory;
using test::throws;

TEST_CASE("constructed and never used") {
  memory m;
  const event never_used;
  const event e;
  CHECK_FALSE(e.is_set());
  e.clear();
  CHECK_FALSE(e.is_set());
}

TEST_CASE("test_event: not set it times out, set it stays set until it is cleared") {
  memory m;
  in_loop([]() -> task<> {
    const event e;
    bool late = co_await throws<timed_out>(with_timeout(0ms, e.wait()));
    CHECK(late);
    const auto begin = clock::now();
    late = co_await throws<timed_out>(with_timeout(20ms, e.wait()));
    CHECK(late);
    CHECK(clock::now() - begin >= 20ms);
    e.set();
    e.set();
    CHECK(e.is_set());
    co_await e.wait();
    co_await with_timeout(0ms, e.wait());
    e.clear();
    CHECK_FALSE(e.is_set());
    late = co_await throws<timed_out>(with_timeout(1ms, e.wait()));
    CHECK(late);
    CHECK(e.waiting() == 0);
  });
}

TEST_CASE("set from a child it wakes the parent, and the other way round") {
  memory m;
  const event there = made<event>();
  const event back = made<event>();
  test::child other([&] {
    there.set();
    sync_wait(back.wait());
  });
  in_loop([&]() -> task<> {
    co_await there.wait();
    back.set();
  });
  CHECK(other.join() == 0);
}

TEST_CASE("who waits when it is set goes on, also if it is cleared at once") {
  memory m;
  m.chunks = 1;
  in_loop([]() -> task<> {
    const event e;
    int gone_on = 0;
    const auto wait = [&]() -> task<> {
      co_await e.wait();
      ++gone_on;
    };
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) n.start(wait());
      while (e.waiting() < 10) co_await yield();
      e.set();
      e.clear();
    };
    co_await with_timeout(10s, with_nursery(body));
    CHECK(gone_on == 10);
    CHECK_FALSE(e.is_set());
    const bool late = co_await throws<timed_out>(with_timeout(1ms, e.wait()));
    CHECK(late);
  });
}

TEST_CASE("killed waiters cost the setter nothing") {
  memory m;
  const event e = made<event>();
  std::vector<test::child> waiters;
  for (int i = 0; i < 4; ++i) waiters.emplace_back([&] { sync_wait(e.wait()); });
  while (e.waiting() < 4) ::usleep(500);
  waiters[0].kill();
  ::kill(waiters[2].pid(), SIGSTOP);
  e.set();
  waiters[2].kill();
  CHECK(waiters[0].join() == -SIGKILL);
  CHECK(waiters[1].join() == 0);
  CHECK(waiters[2].join() == -SIGKILL);
  CHECK(waiters[3].join() == 0);
  CHECK(e.waiting() == 0);
}

TEST_CASE("events travel inside messages") {
  memory m;
  queue<event> q(2);
  const event e;
  CHECK(q.try_put(e));
  q.try_get()->set();
  CHECK(e.is_set());
  CHECK_THROWS_AS(decode<event>(encode(q)), decode_error);
}
