// semaphore and bounded_semaphore: what they promise, within one process and between forks.
// (Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.)
#include "brood/sync/semaphore.hpp"

#include <atomic>
#include <chrono>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "brood/sync/event.hpp"
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

namespace {
/// With the memory taken, so that forks share it.
template <class Semaphore>
Semaphore of(std::uint64_t permits) {
  const Semaphore s(permits);
  return Semaphore(s);
}
}  // namespace

TEST_CASE("constructed and never used") {
  memory m;
  const semaphore never_used;
  CHECK(semaphore().value() == 1);
  CHECK(semaphore(0).value() == 0);
  CHECK(bounded_semaphore(7).value() == 7);
  CHECK_THROWS_AS(semaphore(std::uint64_t{1} << 31), std::invalid_argument);
  const permit none;
  CHECK_FALSE(none);
}

TEST_CASE("test_semaphore: counts down to nothing, and may exceed what it began with") {
  memory m;
  const semaphore s(2);
  auto a = s.try_acquire();
  CHECK(s.value() == 1);
  auto b = s.try_acquire();
  CHECK(s.value() == 0);
  CHECK_FALSE(s.try_acquire().has_value());
  a->release();
  CHECK(s.value() == 1);
  CHECK_THROWS_AS(a->release(), std::logic_error);
  b.reset();
  CHECK(s.value() == 2);
  s.release();
  CHECK(s.value() == 3);
  s.release(10);
  CHECK(s.value() == 13);
  s.release(0);
  CHECK(s.value() == 13);
  CHECK_THROWS_AS(s.release(0x7fffffff), error);
  CHECK_THROWS_AS(s.release(UINT64_MAX), error);
  CHECK(s.value() == 13);
}

TEST_CASE("test_bounded_semaphore: to release more than there were is an error") {
  memory m;
  const bounded_semaphore s(2);
  CHECK_THROWS_AS(s.release(), error);
  auto a = s.try_acquire();
  CHECK_THROWS_AS(s.release(), error);  // it is held, not given away
  a->release();
  CHECK_THROWS_AS(s.release(), error);
  CHECK(s.value() == 2);
  auto b = s.try_acquire();
  b->detach();
  CHECK_THROWS_AS(b->release(), std::logic_error);
  CHECK_THROWS_AS(b->detach(), std::logic_error);
  CHECK(s.value() == 1);
  CHECK_THROWS_AS(s.release(2), error);
  s.release();
  CHECK(s.value() == 2);
}

TEST_CASE("_TestSemaphore.test_timeout: gives up after the time, and nothing is lost") {
  memory m;
  in_loop([]() -> task<> {
    const semaphore s(0);
    CHECK_FALSE(s.try_acquire().has_value());
    const auto begin = clock::now();
    const bool late = co_await throws<timed_out>(with_timeout(20ms, s.acquire()));
    CHECK(late);
    CHECK(clock::now() - begin >= 20ms);
    s.release();
    const auto p = co_await with_timeout(1s, s.acquire());
    CHECK(s.value() == 0);
  });
}

TEST_CASE("a release of many serves as many, across processes") {
  memory m;
  const semaphore s = of<semaphore>(0);
  const semaphore done = of<semaphore>(0);
  std::vector<test::child> children;
  for (int i = 0; i < 4; ++i) {
    children.emplace_back([&] {
      auto mine = sync_wait(s.acquire());
      mine.detach();
      done.release();
    });
  }
  while (s.waiting() < 4) ::usleep(500);
  s.release(3);
  in_loop([&]() -> task<> {
    for (int i = 0; i < 3; ++i) {
      auto p = co_await done.acquire();
      p.detach();
    }
    CHECK(s.value() == 0);
    CHECK(s.waiting() == 1);
    s.release();
    auto p = co_await done.acquire();
  });
  for (auto& c : children) CHECK(c.join() == 0);
}

TEST_CASE("no more than n are inside, and all get in") {
  memory m;
  struct counters {
    std::atomic<int> inside, most, served;
  };
  const shared_page<counters> shared;
  const bounded_semaphore s = of<bounded_semaphore>(2);
  std::vector<test::child> children;
  for (int i = 0; i < 5; ++i) {
    children.emplace_back([&] {
      in_loop([&]() -> task<> {
        for (int n = 0; n < 2000; ++n) {
          const auto p = co_await s.acquire();
          const int now = ++shared->inside;
          if (now > shared->most) shared->most = now;
          if (n % 100 == 0) co_await yield();
          ++shared->served;
          --shared->inside;
        }
      });
    });
  }
  for (auto& c : children) CHECK(c.join() == 0);
  CHECK(shared->most <= 2);
  CHECK(shared->served == 10'000);
  CHECK(s.value() == 2);
  CHECK(s.waiting() == 0);
}

TEST_CASE("the permits of a killed process come back, but not those it parted with") {
  memory m;
  const semaphore s = of<semaphore>(5);
  const event held = made<event>();
  test::child holder([&] {
    in_loop([&]() -> task<> {
      const auto a = co_await s.acquire();
      const auto b = co_await s.acquire();
      auto c = co_await s.acquire();
      c.detach();
      held.set();
      co_await sleep_for(1h);
    });
  });
  in_loop([&]() -> task<> {
    co_await held.wait();
    CHECK(s.value() == 2);
    const auto d = co_await s.acquire();
    const auto e = co_await s.acquire();
    bool served = false;
    const auto wait = [&]() -> task<> {
      const auto f = co_await s.acquire();
      served = true;
    };
    const auto body = [&](nursery& n) -> task<> {
      n.start(wait());
      while (s.waiting() == 0) co_await yield();
      holder.kill();
      holder.join();
    };
    co_await with_timeout(30s, with_nursery(body));
    CHECK(served);
    CHECK(s.value() == 2);
  });
  CHECK(s.value() == 4);
}

TEST_CASE("killed waiters cost nothing") {
  memory m;
  const semaphore s = of<semaphore>(0);
  std::vector<test::child> waiters;
  for (int i = 0; i < 4; ++i) {
    waiters.emplace_back([&] {
      auto p = sync_wait(s.acquire());
      p.detach();
    });
  }
  while (s.waiting() < 4) ::usleep(500);
  ::kill(waiters[0].pid(), SIGSTOP);
  waiters[1].kill();
  s.release(3);
  waiters[0].kill();
  CHECK(waiters[0].join() == -SIGKILL);
  CHECK(waiters[1].join() == -SIGKILL);
  CHECK(waiters[2].join() == 0);
  CHECK(waiters[3].join() == 0);
  CHECK(s.value() == 1);
}

TEST_CASE("a fork that inherited a permit gives nothing back") {
  memory m;
  const semaphore s(1);
  auto p = s.try_acquire();
  test::child other([&] {
    if (*p) throw std::runtime_error("inherited the permit");
    p.reset();
    if (s.value() != 0) throw std::runtime_error("gave another's permit back");
  });
  CHECK(other.join() == 0);
  CHECK(s.value() == 0);
}

TEST_CASE("no barging starvation: a waiter is passed over a bounded number of times") {
  memory m;
  struct counters {
    std::uint64_t streak, longest;
    std::atomic<std::uint64_t> turns;
    std::atomic<int> last;
    std::atomic<bool> stop;
  };
  const shared_page<counters> shared;
  const semaphore s = of<semaphore>(1);
  std::vector<test::child> greedy;
  for (int i = 1; i <= 3; ++i) {
    greedy.emplace_back([&, i] {
      in_loop([&]() -> task<> {
        while (!shared->stop) {
          const auto p = co_await s.acquire();
          ++shared->turns;
          if (shared->last != i) shared->streak = 0;
          shared->last = i;
          if (s.waiting() == 0) continue;
          shared->longest = std::max(shared->longest, ++shared->streak);
        }
      });
    });
  }
  in_loop([&]() -> task<> {
    while (shared->turns < 10'000) co_await sleep_for(1ms);
    for (int i = 0; i < 500; ++i) {
      const auto p = co_await s.acquire();
      shared->last = 0;
    }
    shared->stop = true;
  });
  for (auto& c : greedy) CHECK(c.join() == 0);
  CHECK(shared->longest <= detail::most_turns + 2);
}

TEST_CASE("semaphores travel inside messages, each as what it is") {
  memory m;
  queue<semaphore> q(2);
  const semaphore s(3);
  CHECK(q.try_put(s));
  const auto back = q.try_get();
  CHECK(*back == s);
  CHECK(back->value() == 3);
  CHECK(decode<bounded_semaphore>(encode(bounded_semaphore(2))).value() == 2);
  CHECK_THROWS_AS(decode<bounded_semaphore>(encode(s)), decode_error);
}
