// condition: what it promises, within one process and between forks.
// (Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.)
#include "brood/sync/condition.hpp"

#include <atomic>
#include <chrono>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"
#include "shared_page.hpp"

using namespace brood;
using namespace std::chrono_literals;

using test::in_loop;
using test::made;
using test::memory;
using test::shared_page;
using test::throws;

TEST_CASE("constructed and never used") {
  memory m;
  const condition never_used;
  const condition c;
  c.notify();
  c.notify_all();
  CHECK(c.waiting() == 0);
  const lock l;
  CHECK(condition(l).lock() == l);
}

TEST_CASE("to wait without the lock is an error") {
  memory m;
  in_loop([]() -> task<> {
    const lock l, other;
    const condition c(l);
    lock_guard none;
    bool refused = co_await throws<std::logic_error>(c.wait(none));
    CHECK(refused);
    lock_guard wrong = co_await other.acquire();
    refused = co_await throws<std::logic_error>(c.wait(wrong));
    CHECK(refused);
    CHECK(wrong);
  });
}

TEST_CASE("test_notify: exactly one is woken by each, of coroutines and of processes") {
  memory m;
  m.chunks = 0;
  const shared_page<std::atomic<int>> woken;
  const condition c = made<condition>();
  const auto wait_once = [&]() -> task<> {
    lock_guard g = co_await c.lock().acquire();
    co_await c.wait(g);
    CHECK(g);
    ++*woken;
  };
  std::vector<test::child> children;
  for (int i = 0; i < 3; ++i) children.emplace_back([&] { in_loop(wait_once); });
  in_loop([&]() -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 3; ++i) n.start(wait_once());
      while (c.waiting() < 6) co_await sleep_for(1ms);
      for (int i = 1; i <= 6; ++i) {
        c.notify();
        while (*woken < i) co_await sleep_for(1ms);
        co_await sleep_for(2ms);
        CHECK(*woken == i);
        CHECK(c.waiting() == static_cast<std::uint64_t>(6 - i));
      }
      c.notify();  // nobody waits: it is not kept
    };
    co_await with_timeout(30s, with_nursery(body));
    lock_guard g = co_await c.lock().acquire();
    const bool late = co_await throws<timed_out>(with_timeout(5ms, c.wait(g)));
    CHECK(late);
    CHECK(g);
  });
  for (auto& child : children) CHECK(child.join() == 0);
}

TEST_CASE("test_notify_all: all six are woken, and earlier timeouts leave nothing behind") {
  memory m;
  const shared_page<std::atomic<int>> woken, timed_out_first;
  const condition c = made<condition>();
  const auto wait_twice = [&]() -> task<> {
    lock_guard g = co_await c.lock().acquire();
    const bool late = co_await throws<timed_out>(with_timeout(10ms, c.wait(g)));
    CHECK(late);
    CHECK(g);
    ++*timed_out_first;
    co_await c.wait(g);
    ++*woken;
  };
  std::vector<test::child> children;
  for (int i = 0; i < 3; ++i) children.emplace_back([&] { in_loop(wait_twice); });
  in_loop([&]() -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 3; ++i) n.start(wait_twice());
      while (*timed_out_first < 6 || c.waiting() < 6) co_await sleep_for(1ms);
      CHECK(*woken == 0);
      c.notify_all();
    };
    co_await with_timeout(30s, with_nursery(body));
  });
  for (auto& child : children) CHECK(child.join() == 0);
  CHECK(*woken == 6);
  CHECK(c.waiting() == 0);
  CHECK_FALSE(c.lock().locked());
}

TEST_CASE("notify(n) wakes n") {
  memory m;
  m.chunks = 1;
  in_loop([]() -> task<> {
    const condition c;
    int woken = 0;
    const auto wait_once = [&]() -> task<> {
      lock_guard g = co_await c.lock().acquire();
      co_await c.wait(g);
      ++woken;
    };
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 9; ++i) n.start(wait_once());
      while (c.waiting() < 9) co_await yield();
      c.notify(4);
      while (woken < 4) co_await yield();
      for (int i = 0; i < 20; ++i) co_await yield();
      CHECK(woken == 4);
      c.notify(100);
    };
    co_await with_timeout(10s, with_nursery(body));
    CHECK(woken == 9);
  });
}

TEST_CASE("test_waitfor, test_waitfor_timeout: a predicate across processes") {
  memory m;
  const shared_page<int> state;
  const condition c = made<condition>();
  test::child other([&] {
    in_loop([&]() -> task<> {
      for (int i = 0; i < 4; ++i) {
        co_await sleep_for(2ms);
        const auto g = co_await c.lock().acquire();
        ++*state;
        c.notify();
      }
    });
  });
  in_loop([&]() -> task<> {
    lock_guard g = co_await c.lock().acquire();
    const auto is_four = [&] { return *state == 4; };
    co_await with_timeout(30s, c.wait(g, is_four));
    CHECK(*state == 4);
    CHECK(g);
    co_await c.wait(g, is_four);  // at once
    const auto never = [] { return false; };
    const auto begin = clock::now();
    const bool late = co_await throws<timed_out>(with_timeout(20ms, c.wait(g, never)));
    CHECK(late);
    CHECK(clock::now() - begin >= 20ms);
    CHECK(g);
  });
  CHECK(other.join() == 0);
}

TEST_CASE("_TestCondition.test_timeout, test_wait_result: however it ends, the lock is held again") {
  memory m;
  in_loop([]() -> task<> {
    const condition c;
    lock_guard g = co_await c.lock().acquire();
    const bool late = co_await throws<timed_out>(with_timeout(0ms, c.wait(g)));
    CHECK(late);
    CHECK(g);
    bool ended_with_lock = false;
    const auto long_wait = [&]() -> task<> {
      lock_guard mine = co_await c.lock().acquire();
      try {
        co_await c.wait(mine);
      } catch (const cancelled&) {
        ended_with_lock = static_cast<bool>(mine);
        throw;
      }
    };
    const auto body = [&](nursery& n) -> task<> {
      n.start(long_wait());
      g.release();
      while (c.waiting() == 0) co_await yield();
      g = co_await c.lock().acquire();
      n.cancel();
      for (int i = 0; i < 10; ++i) {
        try {
          co_await yield();
        } catch (const cancelled&) {
        }
      }
      CHECK_FALSE(ended_with_lock);  // it waits for ours
      g.release();
    };
    try {
      co_await with_nursery(body);
    } catch (const cancelled&) {
    }
    CHECK(ended_with_lock);
    CHECK_FALSE(c.lock().locked());
  });
}

TEST_CASE("a notification that reached a cancelled waiter goes to the next") {
  memory m;
  in_loop([]() -> task<> {
    const condition c;
    int woken = 0;
    const auto wait_once = [&]() -> task<> {
      lock_guard g = co_await c.lock().acquire();
      co_await c.wait(g);
      ++woken;
    };
    const auto body = [&](nursery& n) -> task<> {
      const auto first = [&](nursery& inner) -> task<> {
        inner.start(wait_once());
        while (c.waiting() < 1) co_await yield();
        n.start(wait_once());
        while (c.waiting() < 2) co_await yield();
        c.notify();
        inner.cancel();  // before it could go on
      };
      try {
        co_await with_nursery(first);
      } catch (const cancelled&) {
      }
    };
    co_await with_timeout(10s, with_nursery(body));
    CHECK(woken == 1);
  });
}

TEST_CASE("killed waiters cost the notifier nothing, and nobody misses a notification for them") {
  memory m;
  const shared_page<std::atomic<int>> woken;
  const condition c = made<condition>();
  std::vector<test::child> waiters;
  for (int i = 0; i < 5; ++i) {
    waiters.emplace_back([&] {
      in_loop([&]() -> task<> {
        lock_guard g = co_await c.lock().acquire();
        co_await c.wait(g);
        ++*woken;
      });
    });
    while (c.waiting() < static_cast<std::uint64_t>(i + 1)) ::usleep(500);
  }
  ::kill(waiters[0].pid(), SIGSTOP);
  c.notify();  // for the one that does not move
  waiters[0].kill();
  CHECK(waiters[0].join() == -SIGKILL);
  while (*woken < 1) ::usleep(500);  // the next got it
  waiters[3].kill();
  CHECK(waiters[3].join() == -SIGKILL);
  c.notify_all();
  for (const std::size_t i : {1u, 2u, 4u}) CHECK(waiters[i].join() == 0);
  CHECK(*woken == 3);
  CHECK_FALSE(c.lock().locked());
}

TEST_CASE("conditions travel inside messages with their lock") {
  memory m;
  queue<condition> q(2);
  const condition c;
  CHECK(q.try_put(c));
  const auto back = q.try_get();
  CHECK(*back == c);
  CHECK(back->lock() == c.lock());
}
