// A thousand processes at one lock, one semaphore, one event, one condition, one barrier: all are served, and
// no more are woken than have to be.
#include <atomic>
#include <chrono>
#include <vector>

#include "brood/arena/detail/wake_port.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "brood/sync/barrier.hpp"
#include "brood/sync/condition.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/lock.hpp"
#include "brood/sync/semaphore.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"
#include "scale.hpp"
#include "shared_page.hpp"

using namespace brood;
using namespace std::chrono_literals;

using test::in_loop;
using test::made;
using test::memory;
using test::shared_page;

namespace {

const int processes = many(1000);

struct counters {
  std::atomic<int> served;
  std::atomic<int> inside, most_inside;
  std::atomic<std::uint64_t> wakes;  // datagrams that ended a sleep, of all
  std::atomic<std::uint64_t> most_wakes;
  std::atomic<std::uint64_t> sum;
};

void went_in(counters& c) {
  const int now = ++c.inside;
  if (now > c.most_inside) c.most_inside = now;
}

/// As many children as there are to be, which run `body` and say how often they were woken.
template <class F>
std::vector<test::child> start(counters& c, F body) {
  std::vector<test::child> children;
  children.reserve(static_cast<std::size_t>(processes));
  for (int i = 0; i < processes; ++i) {
    children.emplace_back([&] {
      in_loop(body);
      const std::uint64_t mine = detail::wake_port::wakes();
      c.wakes += mine;
      std::uint64_t most = c.most_wakes;
      while (mine > most && !c.most_wakes.compare_exchange_weak(most, mine)) {
      }
      ++c.served;
    });
  }
  return children;
}

template <class Waited>
void wait_for_all(const Waited& waited, int how_many) {
  while (waited.waiting() < static_cast<std::uint64_t>(how_many)) ::usleep(2000);
}

void join_all(std::vector<test::child>& children) {
  int failed = 0;
  for (auto& c : children) failed += c.join() != 0;
  CHECK(failed == 0);
}

}  // namespace

TEST_CASE("a thousand processes through one lock") {
  const memory m;
  const shared_page<counters> c;
  const lock l = made<lock>();
  auto g = l.try_acquire();
  auto children = start(*c, [&]() -> task<> {
    const auto mine = co_await l.acquire();
    went_in(*c);
    --c->inside;
  });
  wait_for_all(l, processes);
  g->release();
  join_all(children);
  CHECK(c->served == processes);
  CHECK(c->most_inside == 1);
  CHECK(c->most_wakes <= 2);
  CHECK(c->wakes <= static_cast<std::uint64_t>(processes + processes / 10));
  CHECK_FALSE(l.locked());
}

TEST_CASE("a thousand processes through one semaphore, three at a time") {
  const memory m;
  const shared_page<counters> c;
  const semaphore s = [] {
    const semaphore first(3);
    return semaphore(first);
  }();
  auto children = start(*c, [&]() -> task<> {
    const auto mine = co_await s.acquire();
    went_in(*c);
    co_await yield();
    --c->inside;
  });
  join_all(children);
  CHECK(c->served == processes);
  CHECK(c->most_inside <= 3);
  CHECK(s.value() == 3);
}

TEST_CASE("an event wakes a thousand processes, each once") {
  const memory m;
  const shared_page<counters> c;
  const event e = made<event>();
  auto children = start(*c, [&]() -> task<> { co_await e.wait(); });
  wait_for_all(e, processes);
  e.set();
  join_all(children);
  CHECK(c->served == processes);
  CHECK(c->most_wakes == 1);
}

TEST_CASE("notify_all wakes a thousand processes, each once, and each then waits for the lock at most once") {
  const memory m;
  const shared_page<counters> c;
  const condition on = made<condition>();
  auto children = start(*c, [&]() -> task<> {
    lock_guard g = co_await on.lock().acquire();
    co_await on.wait(g);
    went_in(*c);
    --c->inside;
  });
  wait_for_all(on, processes);
  on.notify_all();
  join_all(children);
  CHECK(c->served == processes);
  CHECK(c->most_inside == 1);
  CHECK(c->wakes <= static_cast<std::uint64_t>(4 * processes));
}

TEST_CASE("a barrier of a thousand processes: in lockstep, every index once, each woken once a pass") {
  const memory m;
  constexpr int passes = 3;
  const shared_page<counters> c;
  const barrier b = [] {
    const barrier first(static_cast<std::uint64_t>(processes));
    return barrier(first);
  }();
  auto children = start(*c, [&]() -> task<> {
    for (int pass = 0; pass < passes; ++pass) {
      const auto index = co_await b.arrive();
      c->sum += index;
    }
  });
  join_all(children);
  CHECK(c->served == processes);
  const auto n = static_cast<std::uint64_t>(processes);
  CHECK(c->sum == passes * (n * (n - 1) / 2));
  CHECK(c->most_wakes <= passes);
}
