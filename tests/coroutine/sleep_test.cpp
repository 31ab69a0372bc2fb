// sleep_for, sleep_until, yield: waiting for time and letting others run.
#include "brood/coroutine/sleep.hpp"

#include <limits>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::task;

TEST_CASE("a sleep constructed and never used does nothing") {
  test_loop loop;
  static_cast<void>(brood::sleep_for(1h));
  auto unused = brood::sleep_until(loop.now + 1h);
  static_cast<void>(unused);
  CHECK(loop.next_timer() == brood::clock::time_point::max());
}

TEST_CASE("sleeping takes the time asked for, never less") {
  test_loop loop;
  const auto begin = loop.now;
  loop.run([&]() -> task<> {
    co_await brood::sleep_until(begin + 5s);
    CHECK(loop.now == begin + 5s);
    co_await brood::sleep_until(begin + 7s);
    CHECK(loop.now == begin + 7s);
  }());
  const auto real = brood::clock::now();
  loop.run([&]() -> task<> {
    co_await brood::sleep_for(1500us);
    CHECK(loop.now >= real + 1500us);
  }());
}

TEST_CASE("a sleep that is over already lets others run and goes on") {
  test_loop loop;
  const auto begin = loop.now;
  loop.run([&]() -> task<> {
    co_await brood::sleep_until(begin - 1h);
    co_await brood::sleep_for(0s);
    co_await brood::sleep_for(-1h);
    co_await brood::sleep_until(brood::clock::time_point::min());
  }());
  CHECK(loop.now - begin < 1min);
}

TEST_CASE("sleeping for ever does not overflow") {
  CHECK(brood::detail::time_after(std::chrono::hours::max()) == brood::clock::time_point::max());
  CHECK(brood::detail::time_after(std::chrono::duration<double>(1e300)) == brood::clock::time_point::max());
  CHECK(brood::detail::time_after(std::chrono::hours::min()) <= brood::clock::now() + 1s);
  CHECK(brood::detail::time_after(std::chrono::duration<double>(-1e300)) <= brood::clock::now() + 1s);
}

TEST_CASE("a limit in hours, or in samples, does not overflow on its way to nanoseconds") {
  using std::chrono::nanoseconds;
  using samples = std::chrono::duration<std::int64_t, std::ratio<1, 44100>>;
  using brood::detail::saturating_ceil;
  CHECK(saturating_ceil<nanoseconds>(std::chrono::hours::max()) == nanoseconds::max());
  CHECK(saturating_ceil<nanoseconds>(std::chrono::hours::min()) == nanoseconds::min());
  CHECK(saturating_ceil<nanoseconds>(nanoseconds::max()) == nanoseconds::max());
  CHECK(saturating_ceil<nanoseconds>(nanoseconds::max() - 1ns) == nanoseconds::max() - 1ns);
  CHECK(saturating_ceil<nanoseconds>(nanoseconds(-1)) == nanoseconds(-1));
  CHECK(saturating_ceil<nanoseconds>(samples(44100LL * 3600 * 24 * 365)) == std::chrono::hours(24 * 365));
  CHECK(saturating_ceil<nanoseconds>(std::chrono::duration<double, std::nano>(0.25)) == 1ns);
  CHECK(saturating_ceil<nanoseconds>(std::chrono::duration<double, std::nano>(-0.25)) == 0ns);
  const double infinity = std::numeric_limits<double>::infinity();
  const double no_number = std::numeric_limits<double>::quiet_NaN();
  CHECK(saturating_ceil<nanoseconds>(std::chrono::duration<double>(infinity)) == nanoseconds::max());
  CHECK(saturating_ceil<nanoseconds>(std::chrono::duration<double>(-infinity)) == nanoseconds::min());
  CHECK(saturating_ceil<nanoseconds>(std::chrono::duration<double>(no_number)) == 0ns);
  CHECK(saturating_ceil<std::chrono::milliseconds>(1ns) == 1ms);
  CHECK(saturating_ceil<std::chrono::duration<std::int32_t>>(std::chrono::years(100)).count() ==
        std::numeric_limits<std::int32_t>::max());
}

TEST_CASE("a point in time of a coarser unit does not overflow") {
  using hour_point = std::chrono::time_point<brood::clock, std::chrono::hours>;
  test_loop loop;
  loop.run([&]() -> task<> {
    co_await brood::sleep_until(hour_point::min());  // long ago
    bool ended = false;
    try {
      co_await brood::with_timeout(1h, brood::sleep_until(hour_point::max()));
      ended = true;
    } catch (const brood::timed_out&) {
    }
    CHECK_FALSE(ended);
  }());
}

TEST_CASE("sleepers wake in the order of their times") {
  test_loop loop;
  std::vector<int> log;
  auto sleeper = [&](int n, brood::clock::time_point when) -> task<> {
    co_await brood::sleep_until(when);
    log.push_back(n);
  };
  loop.run(brood::when_all(sleeper(1, loop.now + 3s), sleeper(2, loop.now + 1s), sleeper(3, loop.now + 2s)));
  CHECK(log == std::vector<int>{2, 3, 1});
}

TEST_CASE("yield lets everything that is ready run once") {
  std::vector<int> log;
  auto body = [&](int n) -> task<> {
    for (int i = 0; i < 2; ++i) {
      log.push_back(n);
      co_await brood::yield();
    }
  };
  run_here([&] { return brood::when_all(body(1), body(2), body(3)); });
  CHECK(log == std::vector<int>{1, 2, 3, 1, 2, 3});
}

TEST_CASE("a cancelled sleep ends at once, before and after it has begun") {
  test_loop loop;
  const auto begin = loop.now;
  int ended = 0;
  auto sleeper = [&]() -> task<> {
    CHECK_THROWS_AS(co_await brood::sleep_for(1h), brood::cancelled);
    CHECK_THROWS_AS(co_await brood::sleep_for(1h), brood::cancelled);
    CHECK_THROWS_AS(co_await brood::yield(), brood::cancelled);
    ++ended;
  };
  loop.run([&]() -> task<> {
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(sleeper());
      co_await brood::yield();
      n.cancel();
      n.start(sleeper());  // begins cancelled
    });
  }());
  CHECK(ended == 2);
  CHECK(loop.now - begin < 1min);
}

TEST_CASE("a sleep that is due but has not gone on can still be cancelled") {
  test_loop loop;
  const auto when = loop.now + 1s;
  bool cancelled = false;
  loop.run([&]() -> task<> {
    auto stopper = [&](brood::nursery& n) -> task<> {
      co_await brood::sleep_until(when);
      n.cancel();
    };
    auto sleeper = [&]() -> task<> {
      try {
        co_await brood::sleep_until(when);
      } catch (const brood::cancelled&) {
        cancelled = true;
      }
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(stopper(n));
      n.start(sleeper());  // both are posted in the same turn
      co_return;
    });
  }());
  CHECK(cancelled);
}
