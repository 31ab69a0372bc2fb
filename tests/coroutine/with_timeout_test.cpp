// with_timeout: an operation that may take only so long.
#include "brood/coroutine/with_timeout.hpp"

#include <memory>
#include <stdexcept>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::task;

namespace {

task<counted> give_after(brood::clock::duration d, counted value) {
  co_await brood::sleep_for(d);
  co_return value;
}
task<int> ready() { co_return 1; }

}  // namespace

TEST_CASE("a with_timeout constructed and never used starts nothing") {
  counted_check check;
  test_loop loop;
  auto unused = brood::with_timeout(1s, give_after(1s, counted(1)));
  CHECK(counted::live == 1);
  CHECK(loop.next_timer() == brood::clock::time_point::max());
}

TEST_CASE("an operation that ends in time gives its result") {
  counted_check check;
  test_loop loop;
  const auto begin = loop.now;
  loop.run([]() -> task<> {
    const counted value = co_await brood::with_timeout(1h, give_after(1s, counted(3)));
    CHECK(value.value == 3);
    auto owner = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
    const auto four = co_await brood::with_timeout(1h, owner());
    CHECK(*four == 4);
    int variable = 0;
    auto refer = [](int& v) -> task<int&> { co_return v; };
    int& reference = co_await brood::with_timeout(1h, refer(variable));
    CHECK(&reference == &variable);
  }());
  CHECK(loop.now - begin < 1min);
}

TEST_CASE("an operation that does not is cancelled, awaited, and timed_out is thrown") {
  counted_check check;
  test_loop loop;
  const auto begin = loop.now;
  loop.run([]() -> task<> {
    CHECK_THROWS_AS(co_await brood::with_timeout(10s, give_after(1h, counted(3))), brood::timed_out);
    CHECK(counted::live == 0);
    CHECK_THROWS_AS(co_await brood::with_timeout(20s, brood::sleep_for(1h)), brood::timed_out);
  }());
  CHECK(loop.now - begin >= 20s);
  CHECK(loop.now - begin < 1min);
}

TEST_CASE("with_timeout of nothing gives one try without waiting") {
  run_here([]() -> task<> {
    const int zero = co_await brood::with_timeout(0s, ready());
    const int negative = co_await brood::with_timeout(-1h, ready());
    CHECK(zero + negative == 2);
    CHECK_THROWS_AS(co_await brood::with_timeout(0s, brood::sleep_for(1s)), brood::timed_out);
    CHECK_THROWS_AS(co_await brood::with_timeout(-1h, brood::sleep_for(1s)), brood::timed_out);
  });
}

TEST_CASE("with_timeout of a very long time waits for the operation") {
  run_here([]() -> task<> {
    const int value = co_await brood::with_timeout(std::chrono::hours::max(), ready());
    CHECK(value == 1);
  });
}

TEST_CASE("an operation that completes all the same when cancelled gives its result") {
  counted_check check;
  run_here([]() -> task<> {
    auto stubborn = []() -> task<counted> {
      try {
        co_await brood::sleep_for(1h);
      } catch (const brood::cancelled&) {
      }
      co_return counted(9);
    };
    const counted value = co_await brood::with_timeout(1s, stubborn());
    CHECK(value.value == 9);
  });
}

TEST_CASE("an error of the operation passes through, before and after the time is over") {
  run_here([]() -> task<> {
    auto fail = []() -> task<> {
      throw std::runtime_error("own");
      co_return;
    };
    CHECK_THROWS_WITH(co_await brood::with_timeout(1s, fail()), "own");
    auto fail_when_cancelled = []() -> task<> {
      try {
        co_await brood::sleep_for(1h);
      } catch (const brood::cancelled&) {
        throw std::runtime_error("late");
      }
    };
    CHECK_THROWS_WITH(co_await brood::with_timeout(1s, fail_when_cancelled()), "late");
    auto cancelled_by_itself = []() -> task<> {
      throw brood::cancelled();
      co_return;
    };
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, cancelled_by_itself()), brood::cancelled);
  });
}

TEST_CASE("nested timeouts: the shorter one throws, wherever it is") {
  run_here([]() -> task<> {
    bool inner_timed_out = false;
    auto inner = [&](brood::clock::duration d) -> task<> {
      try {
        co_await brood::with_timeout(d, brood::sleep_for(1h));
      } catch (const brood::timed_out&) {
        inner_timed_out = true;
      }
    };
    co_await brood::with_timeout(10s, inner(1s));
    CHECK(inner_timed_out);
    inner_timed_out = false;
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, inner(10s)), brood::timed_out);
    CHECK_FALSE(inner_timed_out);
  });
}

TEST_CASE("cancellation from outside is cancelled, not timed_out") {
  bool was_cancelled = false;
  run_here([&]() -> task<> {
    auto wait = [&]() -> task<> {
      CHECK_THROWS_AS(co_await brood::with_timeout(1h, brood::sleep_for(1h)), brood::cancelled);
      was_cancelled = true;
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(wait());
      for (int i = 0; i < 5; ++i) co_await brood::yield();
      n.cancel();
    });
  });
  CHECK(was_cancelled);
}

TEST_CASE("ten thousand timeouts at once") {
  run_here([]() -> task<> {
    std::vector<task<>> all;
    auto one = [](int i) -> task<> {
      const bool ends = i % 2 == 0;
      try {
        co_await brood::with_timeout(1min, brood::sleep_for(ends ? 1s : 1h));
        CHECK(ends);
      } catch (const brood::timed_out&) {
        CHECK_FALSE(ends);
      }
    };
    for (int i = 0; i < 10'000; ++i) all.push_back(one(i));
    co_await brood::when_all(std::move(all));
  });
}
