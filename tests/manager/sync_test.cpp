// The manager's queue, lock, semaphores, event, condition and barrier; what waits, what is cancelled, who dies.
// (test_nested_queue, TestSyncManagerTypes, TestManagerExceptions)
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/spawn.hpp"
#include "served.hpp"

using namespace std::chrono_literals;
using brood::manager;
using brood::task;
namespace managed = brood::managed;

namespace {

/// Both as children hold them until they are killed.
task<> hold_for_ever(managed::lock l, managed::semaphore s, managed::event held) {
  auto guard = co_await l.acquire();
  auto permit = co_await s.acquire();
  co_await held.set();
  for (;;) pause();
}

task<> lease_for_ever(managed::queue<int> q, managed::event held) {
  std::vector<managed::lease<int>> all;
  for (int i = 0; i < 5; ++i) all.push_back(co_await q.get_leased());
  co_await held.set();
  for (;;) pause();
}

task<> arrive_for_ever(managed::barrier b) { co_await b.arrive(); }
task<> get_for_ever(managed::queue<int> q) { co_await q.get(); }

task<> wait_until(managed::barrier b, std::size_t waiting) {
  for (;;) {
    const std::size_t now = co_await b.waiting();
    if (now == waiting) co_return;
  }
}

}  // namespace

TEST_CASE("a queue") {
  served([](manager m) -> task<> {
    auto q = co_await m.queue<std::string>(2);
    const auto none = co_await q.try_get();
    CHECK_FALSE(none);
    co_await q.put("a");
    co_await q.put("b");
    const bool third = co_await q.try_put("c");
    CHECK_FALSE(third);
    const std::size_t size = co_await q.size();
    CHECK(size == 2);
    const std::string first = co_await q.get();
    CHECK(first == "a");
    co_await q.put("c");
    const std::vector<std::string> rest = co_await q.get_many(10);
    CHECK(rest == std::vector<std::string>{"b", "c"});
    const bool empty = co_await q.empty();
    CHECK(empty);
    co_await q.put("last");
    co_await q.close();
    co_await q.close();
    const std::string refused = co_await error_of(q.put("more"));
    CHECK(refused == "brood::closed");
    const auto last = co_await q.next();
    CHECK(last == "last");
    const auto end = co_await q.next();
    CHECK_FALSE(end);
    const std::string ended = co_await error_of(q.get());
    CHECK(ended == "brood::closed");
    const std::string tried = co_await error_of(q.try_get());
    CHECK(tried == "brood::closed");
  });
}

TEST_CASE("a get that waits holds up nothing else, a put on a full queue neither") {
  served_by_a_child([](manager m) -> task<> {
    auto q = co_await m.queue<int>(1);
    auto d = co_await m.dict<int, int>();
    int got = 0;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](managed::queue<int> from, int& into) -> task<> { into = co_await from.get(); }(q, got));
      for (int i = 0; i < 100; ++i) co_await d.set(i, i);
      co_await q.put(7);
    });
    CHECK(got == 7);
    co_await q.put(1);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](managed::queue<int> to) -> task<> { co_await to.put(2); }(q));
      for (int i = 0; i < 100; ++i) co_await d.set(i, i);
      const int one = co_await q.get();
      CHECK(one == 1);
    });
    const int two = co_await q.get();
    CHECK(two == 2);
  });
}

TEST_CASE("a get that is cancelled takes nothing") {
  served_by_a_child([](manager m) -> task<> {
    auto q = co_await m.queue<int>();
    for (int round = 0; round < 200; ++round) {
      const std::string late = co_await error_of(brood::with_timeout(0ms, q.get()));
      CHECK(late == "brood::timed_out");
      // An item that comes at the same time as the end of the wait is got by one of them.
      int taken = -1;
      try {
        auto getting = q.get();
        auto putting = q.put(round);
        const auto winner = co_await brood::when_any(std::move(getting), std::move(putting));
        if (winner.index() == 0) taken = std::get<0>(winner);
      } catch (const brood::cancelled&) {
      }
      if (taken < 0) taken = co_await brood::with_timeout(10s, q.get());
      CHECK(taken == round);
      const std::size_t left = co_await q.size();
      CHECK(left == 0);
    }
  });
}

TEST_CASE("join of a queue waits until every item is done with") {
  served([](manager m) -> task<> {
    auto q = co_await m.queue<int>();
    co_await q.join();
    co_await q.put(1);
    co_await q.put(2);
    bool joined = false;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](managed::queue<int> what, bool& done) -> task<> {
        co_await what.join();
        done = true;
      }(q, joined));
      co_await q.get();
      co_await q.get();
      co_await q.task_done();
      CHECK_FALSE(joined);
      co_await q.task_done();
    });
    CHECK(joined);
    const std::string too_often = co_await error_of(q.task_done());
    CHECK(too_often == "remote std::logic_error");
  });
}

TEST_CASE("an item on lease comes back to the front unless it is done with") {
  served([](manager m) -> task<> {
    auto q = co_await m.queue<std::string>();
    for (const char* item : {"a", "b", "c"}) co_await q.put(item);
    {
      auto a = co_await q.get_leased();
      auto b = co_await q.get_leased();
      CHECK(*b == "b");
      a.done();
      CHECK_THROWS_AS(a.done(), std::logic_error);
      const std::size_t size = co_await q.size();
      CHECK(size == 1);
    }
    const std::string again = co_await q.get();
    CHECK(again == "b");
    co_await q.task_done();
    auto last = co_await q.get_leased();
    co_await q.close();
    // It may come back: neither the end for those who wait nor for those who wait for all to be done.
    bool joined = false;
    std::optional<std::string> came;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](managed::queue<std::string> of, bool& done) -> task<> {
        co_await of.join();
        done = true;
      }(q, joined));
      n.start([](managed::queue<std::string> of, std::optional<std::string>& into) -> task<> {
        auto item = co_await of.next_leased();
        if (item) into = **item;
        if (item) item->done();
      }(q, came));
      const std::size_t size = co_await q.size();
      CHECK(size == 0);
      CHECK_FALSE(joined);
      const auto dropped = std::move(last);
    });
    CHECK(joined);
    CHECK(came == "c");
    const auto end = co_await q.next_leased();
    CHECK_FALSE(end);
    const std::string late = co_await error_of(q.get_leased());
    CHECK(late == "brood::closed");
  });
}

TEST_CASE("a lease that is cancelled takes nothing; a holder that is killed loses it") {
  served_by_a_child([](manager m) -> task<> {
    auto q = co_await m.queue<int>();
    for (int round = 0; round < 100; ++round) {
      const std::string late = co_await error_of(brood::with_timeout(0ms, q.get_leased()));
      CHECK(late == "brood::timed_out");
    }
    for (int i = 0; i < 10; ++i) co_await q.put(i);
    auto held = co_await m.event();
    auto holder = co_await brood::spawn<lease_for_ever>(q, held);
    co_await held.wait();
    const std::size_t left = co_await q.size();
    CHECK(left == 5);
    holder.kill();
    co_await holder.join();
    std::vector<int> all;
    while (all.size() < 10) {
      for (const int n : co_await q.get_many(10)) all.push_back(n);
    }
    std::sort(all.begin(), all.end());
    CHECK(all == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  });
}

TEST_CASE("a queue of queues") {
  served([](manager m) -> task<> {
    auto outer = co_await m.queue<managed::queue<int>>();
    {
      auto inner = co_await m.queue<int>();
      co_await inner.put(5);
      co_await outer.put(inner);
    }
    auto inner = co_await outer.get();
    const int five = co_await inner.get();
    CHECK(five == 5);
  });
}

TEST_CASE("a lock is held by one at a time, and passed on in order") {
  served([](manager m) -> task<> {
    auto l = co_await m.lock();
    auto guard = co_await l.acquire();
    CHECK(guard.is_held());
    CHECK_FALSE(guard.abandoned());
    const auto second = co_await l.try_acquire();
    CHECK_FALSE(second);
    const std::string late = co_await error_of(brood::with_timeout(1ms, l.acquire()));
    CHECK(late == "brood::timed_out");
    std::string order;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (const char name : {'a', 'b', 'c'}) {
        n.start([](managed::lock of, char own, std::string& to) -> task<> {
          auto held = co_await of.acquire();
          to += own;
        }(l, name, order));
      }
      co_await l.locked();
      guard.release();
      guard.release();
    });
    CHECK(order == "abc");
    const bool locked = co_await l.locked();
    CHECK_FALSE(locked);
  });
}

TEST_CASE("an rlock: three in, three out") {
  served([](manager m) -> task<> {
    auto l = co_await m.rlock();
    auto a = co_await l.acquire();
    auto b = co_await l.acquire();
    auto c = co_await l.try_acquire();
    CHECK(c.has_value());
    a.release();
    b.release();
    const bool still = co_await l.locked();
    CHECK(still);
    c->release();
    const bool locked = co_await l.locked();
    CHECK_FALSE(locked);
  });
}

TEST_CASE("a semaphore counts, a bounded one minds its bound") {
  served([](manager m) -> task<> {
    auto s = co_await m.semaphore(2);
    auto one = co_await s.acquire();
    auto two = co_await s.acquire();
    const auto three = co_await s.try_acquire();
    CHECK_FALSE(three);
    co_await s.release(2);
    const std::size_t value = co_await s.value();
    CHECK(value == 2);
    one.release();
    const std::size_t more = co_await s.value();
    CHECK(more == 3);
    auto bounded = co_await m.bounded_semaphore(1);
    const std::string over = co_await error_of(bounded.release());
    CHECK(over == "remote std::overflow_error");
    auto permit = co_await bounded.acquire();
    const std::string still_over = co_await error_of(bounded.release());
    CHECK(still_over == "remote std::overflow_error");
  });
}

TEST_CASE("an event") {
  served([](manager m) -> task<> {
    auto e = co_await m.event();
    const std::string late = co_await error_of(brood::with_timeout(1ms, e.wait()));
    CHECK(late == "brood::timed_out");
    co_await e.set();
    co_await e.wait();
    const bool set = co_await e.is_set();
    CHECK(set);
    co_await e.clear();
    const bool cleared = co_await e.is_set();
    CHECK_FALSE(cleared);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) n.start(e.wait());
      co_await e.is_set();
      co_await e.set();
    });
  });
}

TEST_CASE("a condition wakes as many as it is told, with the lock held") {
  served([](manager m) -> task<> {
    auto l = co_await m.lock();
    auto c = co_await m.condition(l);
    int woken = 0;
    bool go = false;
    const auto waiter = [](managed::lock of, managed::condition on, int& count) -> task<> {
      auto guard = co_await of.acquire();
      co_await on.wait(guard);
      ++count;
      if (!guard.is_held()) throw std::logic_error("without the lock");
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (int i = 0; i < 6; ++i) n.start(waiter(l, c, woken));
      std::size_t notified = 0;
      while (notified < 2) notified += co_await c.notify(2 - notified);
      while (woken < 2) co_await l.locked();
      CHECK(woken == 2);
      while (notified < 6) notified += co_await c.notify_all();
    });
    CHECK(woken == 6);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](managed::lock of, managed::condition on, bool& flag) -> task<> {
        auto guard = co_await of.acquire();
        co_await on.wait(guard, [&flag] { return flag; });
      }(l, c, go));
      std::size_t notified = 0;
      while (notified == 0) notified = co_await c.notify_all();  // in vain
      auto guard = co_await l.acquire();                         // it waits again by now
      go = true;
      const std::size_t told = co_await c.notify_all();
      CHECK(told == 1);
    });
    auto guard = co_await l.acquire();
    const std::string late = co_await error_of(brood::with_timeout(1ms, c.wait(guard)));
    CHECK(late == "brood::timed_out");
    CHECK_FALSE(guard.is_held());
    const std::string without = co_await error_of(c.wait(guard));
    CHECK(without == "std::logic_error");
    auto free = co_await brood::with_timeout(10s, l.acquire());
    CHECK(free.is_held());
  });
}

TEST_CASE("a wait on a condition that is cancelled as its answer arrives leaves the lock free") {
  served_by_a_child([](manager m) -> task<> {
    auto l = co_await m.lock();
    auto c = co_await m.condition(l);
    for (int round = 0; round < 300; ++round) {
      auto guard = co_await l.acquire();
      // The wait and its notice leave in one write; the other branch ends with the answer to that.
      auto waiting = c.wait(guard);
      auto noticing = c.notify_all();
      co_await brood::when_any(std::move(waiting), std::move(noticing));
      guard.release();
      auto free = co_await brood::with_timeout(30s, l.acquire());
      CHECK(free.is_held());
    }
  });
}

TEST_CASE("a barrier lets all go at once, breaks, and is as new after a reset") {
  served([](manager m) -> task<> {
    auto b = co_await m.barrier(3);
    for (int pass = 0; pass < 3; ++pass) {
      std::vector<decltype(b.arrive())> all;
      for (int i = 0; i < 3; ++i) all.push_back(b.arrive());
      auto indices = co_await brood::when_all(std::move(all));
      std::sort(indices.begin(), indices.end());
      CHECK(indices == std::vector<std::size_t>{0, 1, 2});
    }
    const std::string late = co_await error_of(brood::with_timeout(1ms, b.arrive()));
    CHECK(late == "brood::timed_out");
    const std::string broken = co_await error_of(b.arrive());
    CHECK(broken == "remote brood::broken_barrier");
    const bool is_broken = co_await b.broken();
    CHECK(is_broken);
    co_await b.reset();
    std::string freed;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](managed::barrier of, std::string& into) -> task<> { into = co_await error_of(of.arrive()); }(
                                                             b, freed));
      co_await wait_until(b, 1);
      co_await b.reset();
    });
    CHECK(freed == "remote brood::broken_barrier");
    const bool as_new = co_await b.broken();
    CHECK_FALSE(as_new);
    co_await b.abort();
    const std::string aborted = co_await error_of(b.arrive());
    CHECK(aborted == "remote brood::broken_barrier");
    auto alone = co_await m.barrier(1);
    const std::size_t index = co_await alone.arrive();
    CHECK(index == 0);
    const std::string nobody = co_await error_of(m.barrier(0));
    CHECK(nobody == "remote std::invalid_argument");
  });
}

TEST_CASE("a child that is killed gives back its lock, its permit, its place in the line and its barrier") {
  served_by_a_child([](manager m) -> task<> {
    auto l = co_await m.lock();
    auto s = co_await m.semaphore(1);
    auto held = co_await m.event();
    auto holder = co_await brood::spawn<hold_for_ever>(l, s, held);
    co_await held.wait();
    holder.kill();
    auto guard = co_await brood::with_timeout(30s, l.acquire());
    CHECK(guard.abandoned());
    auto permit = co_await brood::with_timeout(30s, s.acquire());
    guard.release();
    auto again = co_await l.acquire();
    CHECK_FALSE(again.abandoned());

    auto b = co_await m.barrier(2);
    auto member = co_await brood::spawn<arrive_for_ever>(b);
    co_await wait_until(b, 1);
    member.kill();
    co_await member.join();
    for (bool broken = false; !broken;) broken = co_await b.broken();
    const std::string error = co_await error_of(b.arrive());
    CHECK(error == "remote brood::broken_barrier");

    auto q = co_await m.queue<int>();
    auto getter = co_await brood::spawn<get_for_ever>(q);
    getter.kill();
    co_await getter.join();
    co_await holder.join();
  });
}
