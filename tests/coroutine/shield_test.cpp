// shield: what is awaited although its awaiter is cancelled.
#include "brood/coroutine/shield.hpp"

#include "brood/coroutine/nursery.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::task;

namespace {

task<int> seven_after(brood::clock::duration d) {
  co_await brood::sleep_for(d);
  co_return 7;
}

/// Waits in a shield for `work`, with `limit`, when it is cancelled.
task<> clean_up(brood::clock::duration work, brood::clock::duration limit, int& result, bool& late,
                bool& after) {
  try {
    co_await brood::sleep_for(24h);
  } catch (const brood::cancelled&) {
  }
  try {
    result = co_await brood::shield(seven_after(work), limit);
  } catch (const brood::timed_out&) {
    late = true;
  }
  try {
    co_await brood::yield();
  } catch (const brood::cancelled&) {
    after = true;
    throw;
  }
}

}  // namespace

TEST_CASE("a shield constructed and never used starts nothing") {
  test_loop loop;
  auto unused = brood::shield(seven_after(1s), 1h);
  CHECK(loop.next_timer() == brood::clock::time_point::max());
}

TEST_CASE("a shield outside of any cancellation gives the result") {
  test_loop loop;
  loop.run([]() -> task<> {
    const int seven = co_await brood::shield(seven_after(1s), 1h);
    CHECK(seven == 7);
  }());
}

TEST_CASE("a cancelled task can await in a shield, and is cancelled still behind it") {
  test_loop loop;
  int result = 0;
  bool late = false;
  bool after = false;
  loop.run([](int& r, bool& l, bool& a) -> task<> {
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, clean_up(1s, 10s, r, l, a)), brood::timed_out);
  }(result, late, after));
  CHECK(result == 7);
  CHECK_FALSE(late);
  CHECK(after);
}

TEST_CASE("what takes longer than the shield's limit is cancelled") {
  test_loop loop;
  const auto begin = loop.now;
  int result = 0;
  bool late = false;
  bool after = false;
  loop.run([](int& r, bool& l, bool& a) -> task<> {
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, clean_up(24h, 10s, r, l, a)), brood::timed_out);
  }(result, late, after));
  CHECK(result == 0);
  CHECK(late);
  CHECK(after);
  CHECK(loop.now - begin < 1min);
}

TEST_CASE("a shield that is cancelled before it begins runs all the same") {
  test_loop loop;
  bool ran = false;
  loop.run([](bool& r) -> task<> {
    auto body = [&](brood::nursery& n) -> task<> {
      n.cancel();
      const int seven = co_await brood::shield(seven_after(1s), 1h);
      r = seven == 7;
    };
    co_await brood::with_nursery(body);
  }(ran));
  CHECK(ran);
}
