// lock and rlock: what they promise, within one process and between forks.
// (Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.)
#include "brood/sync/lock.hpp"

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "brood/channel/pipe.hpp"
#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/rlock.hpp"
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
  const lock never_used;
  const lock l = made<lock>();
  CHECK_FALSE(l.locked());
  const lock copy = l;
  CHECK(copy == l);
  CHECK_FALSE(lock() == l);
  const lock_guard none;
  CHECK_FALSE(none);
}

TEST_CASE("a lock that was moved from is the same lock, not a new one that excludes nobody") {
  memory m;
  lock first = made<lock>();
  lock second = std::move(first);
  const auto guard = second.try_acquire();
  CHECK_FALSE(first.try_acquire().has_value());
  lock third;
  third = std::move(second);
  CHECK_FALSE(second.try_acquire().has_value());
  CHECK(third == first);
}

TEST_CASE("test_lock: a second try fails; releasing what is not held is an error") {
  memory m;
  const lock l = made<lock>();
  auto g = l.try_acquire();
  REQUIRE(g.has_value());
  CHECK(l.locked());
  CHECK_FALSE(l.try_acquire().has_value());
  CHECK_FALSE(g->abandoned());
  g->release();
  CHECK_FALSE(l.locked());
  CHECK_FALSE(*g);
  CHECK_THROWS_AS(g->release(), std::logic_error);
  CHECK_THROWS_WITH(g->release(), "brood::lock: released by somebody who does not hold it");
  auto again = l.try_acquire();
  REQUIRE(again.has_value());
  lock_guard moved = std::move(*again);
  CHECK_THROWS_AS(again->release(), std::logic_error);
  moved.release();
}

TEST_CASE("test_lock_context: the guard's destructor releases, and assigning over it too") {
  memory m;
  in_loop([]() -> task<> {
    const lock l = made<lock>();
    {
      const auto g = co_await l.acquire();
      CHECK(l.locked());
    }
    CHECK_FALSE(l.locked());
    lock_guard g = co_await l.acquire();
    g = lock_guard();
    CHECK_FALSE(l.locked());
    lock_guard outlives;
    {
      const lock short_lived;
      outlives = co_await short_lived.acquire();
    }
    CHECK(outlives);
  });
}

TEST_CASE("test_rlock: three in, three out, a fourth release is an error") {
  memory m;
  const rlock l = made<rlock>();
  std::vector<rlock_guard> guards;
  for (int i = 0; i < 3; ++i) guards.push_back(*l.try_acquire());
  for (auto& g : guards) {
    CHECK(l.locked());
    g.release();
  }
  CHECK_FALSE(l.locked());
  CHECK_THROWS_AS(guards[0].release(), std::logic_error);
}

TEST_CASE("an rlock is its process's: others wait until the last guard is gone") {
  memory m;
  m.chunks = 0;
  const rlock l = made<rlock>();
  auto outer = l.try_acquire();
  auto inner = l.try_acquire();
  test::child other([&] {
    if (l.try_acquire()) throw std::runtime_error("took another's lock");
    if (*outer || *inner) throw std::runtime_error("inherited a lock");
    const auto g = sync_wait(l.acquire());
    const auto twice = sync_wait(l.acquire());
  });
  while (l.waiting() == 0) ::usleep(500);
  outer->release();
  CHECK(l.locked());
  inner->release();
  CHECK(other.join() == 0);
  CHECK_FALSE(l.locked());
}

TEST_CASE("coroutines of one process exclude each other, and are served in order") {
  memory m;
  m.chunks = 1;
  in_loop([]() -> task<> {
    const lock l = made<lock>();
    std::vector<int> order;
    int inside = 0;
    const auto one = [&](int number) -> task<> {
      const auto g = co_await l.acquire();
      CHECK(++inside == 1);
      order.push_back(number);
      co_await yield();
      --inside;
    };
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 20; ++i) n.start(one(i));
      co_return;
    };
    co_await with_nursery(body);
    REQUIRE(order.size() == 20);
    for (int i = 0; i < 20; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  });
}

TEST_CASE("processes exclude each other: no increment is lost") {
  memory m;
  const shared_page<int> count;
  const lock l = made<lock>();
  std::vector<test::child> children;
  for (int i = 0; i < 4; ++i) {
    children.emplace_back([&] {
      in_loop([&]() -> task<> {
        for (int n = 0; n < 5000; ++n) {
          const auto g = co_await l.acquire();
          const int before = *count;
          if (n % 500 == 0) co_await yield();
          *count = before + 1;
        }
      });
    });
  }
  for (auto& c : children) CHECK(c.join() == 0);
  CHECK(*count == 20'000);
}

TEST_CASE("a timeout leaves nothing behind, and the lock can be had afterwards") {
  memory m;
  in_loop([]() -> task<> {
    const lock l = made<lock>();
    auto g = co_await l.acquire();
    const auto begin = clock::now();
    const bool late = co_await throws<timed_out>(with_timeout(20ms, l.acquire()));
    CHECK(late);
    CHECK(clock::now() - begin >= 20ms);
    CHECK(l.waiting() == 0);
    g.release();
    const auto again = co_await with_timeout(1s, l.acquire());
    CHECK(again);
  });
}

TEST_CASE("a cancelled waiter whose turn had come passes it on") {
  memory m;
  in_loop([]() -> task<> {
    const lock l = made<lock>();
    for (int round = 0; round < 50; ++round) {
      lock_guard g = co_await l.acquire();
      bool served = false;
      const auto patient = [&]() -> task<> {
        const auto mine = co_await l.acquire();
        served = true;
      };
      const auto body = [&](nursery& n) -> task<> {
        const auto first = [&]() -> task<> {
          const auto mine = co_await l.acquire();
          co_await yield();
        };
        const auto giving_up = [&](nursery& inner) -> task<> {
          inner.start(first());
          co_await yield();
          g.release();  // wakes `first`
          for (int i = 0; i < round % 5; ++i) co_await yield();
          inner.cancel();
        };
        n.start(patient());  // behind or before it, as the rounds go
        if (round % 2 == 0) co_await yield();
        try {
          co_await with_nursery(giving_up);
        } catch (const cancelled&) {
        }
      };
      co_await with_timeout(10s, with_nursery(body));
      CHECK(served);
      CHECK_FALSE(l.locked());
    }
  });
}

TEST_CASE("when_any over two locks holds one of them") {
  memory m;
  in_loop([]() -> task<> {
    const lock a, b;
    for (int i = 0; i < 20; ++i) {
      const auto winner = co_await when_any(a.acquire(), b.acquire());
      CHECK(a.locked() != b.locked());
    }
    CHECK_FALSE(a.locked());
    CHECK_FALSE(b.locked());
  });
}

TEST_CASE("killed while it holds the lock: the next is told, the one after is not") {
  memory m;
  const lock l = made<lock>();
  const event held = made<event>();
  test::child holder([&] {
    in_loop([&]() -> task<> {
      const auto g = co_await l.acquire();
      held.set();
      co_await sleep_for(1h);
    });
  });
  in_loop([&]() -> task<> {
    co_await held.wait();
    CHECK_FALSE(l.try_acquire().has_value());
    bool told = false;
    const auto wait = [&]() -> task<> {
      const auto g = co_await l.acquire();
      told = g.abandoned();
    };
    const auto body = [&](nursery& n) -> task<> {
      n.start(wait());
      while (l.waiting() == 0) co_await yield();
      holder.kill();
      CHECK(holder.join() == -SIGKILL);
    };
    co_await with_timeout(30s, with_nursery(body));
    CHECK(told);
    const auto next = co_await l.acquire();
    CHECK_FALSE(next.abandoned());
  });
}

TEST_CASE("an rlock that was held twice by a killed process comes back whole") {
  memory m;
  const rlock l = made<rlock>();
  const event held = made<event>();
  test::child holder([&] {
    in_loop([&]() -> task<> {
      const auto g = co_await l.acquire();
      const auto h = co_await l.acquire();
      held.set();
      co_await sleep_for(1h);
    });
  });
  in_loop([&]() -> task<> {
    co_await held.wait();
    holder.kill();
    holder.join();
    const auto g = co_await with_timeout(30s, l.acquire());
    CHECK(g.abandoned());
  });
}

TEST_CASE("waiters that are killed cost nothing, whether their turn had come or not") {
  memory m;
  const lock l = made<lock>();
  for (int round = 0; round < 10; ++round) {
    auto g = l.try_acquire();
    REQUIRE(g.has_value());
    std::vector<test::child> waiters;
    for (int i = 0; i < 4; ++i) {
      waiters.emplace_back([&] {
        in_loop([&]() -> task<> {
          const auto mine = co_await l.acquire();
          co_await yield();
        });
      });
    }
    while (l.waiting() < 4) ::usleep(500);
    ::kill(waiters[0].pid(), SIGSTOP);  // when its turn comes it does nothing
    if (round % 2 == 0) waiters[2].kill();
    g->release();
    waiters[0].kill();
    waiters[0].join();
    if (round % 2 == 0) waiters[2].join();  // before those who may stand behind it
    for (const std::size_t i : {1u, 2u, 3u}) {
      if (i != 2 || round % 2 != 0) CHECK(waiters[i].join() == 0);
    }
    CHECK(l.waiting() == 0);
    CHECK(l.try_acquire().has_value());
  }
}

TEST_CASE("a fork that inherited a guard releases nothing") {
  memory m;
  const lock l = made<lock>();
  auto g = l.try_acquire();
  test::child other([&] {
    if (*g) throw std::runtime_error("inherited the lock");
    bool refused = false;
    try {
      g->release();
    } catch (const std::logic_error&) {
      refused = true;
    }
    g.reset();
    if (!refused || !l.locked()) throw std::runtime_error("released another's lock");
  });
  CHECK(other.join() == 0);
  CHECK(l.locked());
}

TEST_CASE("locks travel inside messages, and name the same lock") {
  memory m;
  queue<std::vector<lock>> q(2);
  {
    const lock l = made<lock>();
    const std::vector<lock> locks{l, l};
    CHECK(q.try_put(locks));
    auto back = q.try_get();
    CHECK(back->at(0) == l);
    CHECK(q.try_put(*back));
  }
  const auto alone = q.try_get();
  const auto g = alone->at(0).try_acquire();
  CHECK(alone->at(1).locked());
  CHECK_THROWS_AS(decode<rlock>(encode(alone->at(0))), decode_error);
  CHECK_THROWS_AS(decode<lock>(encode(queue<int>(1))), decode_error);
}

TEST_CASE("A26: no lock is read from the name of an rlock that this process knows") {
  memory m;
  const rlock recursive = made<rlock>();
  CHECK_THROWS_AS(decode<lock>(encode(recursive)), decode_error);
  CHECK(decode<rlock>(encode(recursive)) == recursive);
}

TEST_CASE(
    "no barging starvation: who comes when it is free goes past those who wait a bounded number of times") {
  memory m;
  struct counters {
    int last;  // these under the lock
    std::uint64_t streak, longest;
    std::atomic<std::uint64_t> turns;
    std::atomic<bool> stop;
  };
  const shared_page<counters> shared;
  const lock l = made<lock>();
  std::vector<test::child> greedy;
  for (int i = 1; i <= 3; ++i) {
    greedy.emplace_back([&, i] {
      in_loop([&]() -> task<> {
        while (!shared->stop) {
          const auto g = co_await l.acquire();
          ++shared->turns;
          if (shared->last != i) shared->streak = 0;
          shared->last = i;
          if (l.waiting() == 0) continue;
          shared->longest = std::max(shared->longest, ++shared->streak);
        }
      });
    });
  }
  std::uint64_t served = 0;
  in_loop([&]() -> task<> {
    while (shared->turns < 10'000) co_await sleep_for(1ms);
    for (; served < 500; ++served) {
      const auto g = co_await l.acquire();
      shared->last = 0;
    }
    shared->stop = true;
  });
  for (auto& c : greedy) CHECK(c.join() == 0);
  CHECK(served == 500);
  CHECK(shared->longest <= detail::most_turns + 2);
}

TEST_CASE("one waits beside a hundred that never stop: every one of them is served") {
  memory m;
  m.chunks = 2;
  in_loop([]() -> task<> {
    const lock l = made<lock>();
    std::vector<int> served(101);
    const auto worker = [&](std::size_t who) -> task<> {
      for (int i = 0; i < 50; ++i) {
        const auto g = co_await l.acquire();
        ++served[who];
        if (i % 3 == 0) co_await yield();
      }
    };
    const auto body = [&](nursery& n) -> task<> {
      for (std::size_t i = 0; i < served.size(); ++i) n.start(worker(i));
      co_return;
    };
    co_await with_timeout(60s, with_nursery(body));
    for (const int times : served) CHECK(times == 50);
    CHECK_FALSE(l.locked());
  });
}

TEST_CASE("what nobody contends for suspends nobody and takes nothing from the arena") {
  memory m;
  in_loop([]() -> task<> {
    const lock l = made<lock>();
    {
      const auto g = co_await l.acquire();
    }
    const auto before = family_memory::get().statistics();
    for (int i = 0; i < 10'000; ++i) {
      const auto g = co_await l.acquire();
    }
    const auto after = family_memory::get().statistics();
    CHECK(after.blocks == before.blocks);
    CHECK(family_memory::get().wakes.rings_sent == 0);
  });
}
