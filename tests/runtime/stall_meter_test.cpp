// The stall meter: how long the loop was busy between two looks at its events.
#include "runtime/stall_meter.hpp"

#include "brood/coroutine/sleep.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::runtime;
using brood::task;
using brood::detail::stall_meter;

TEST_CASE("a stall meter constructed and never used has seen nothing") {
  const auto none = stall_meter().statistics();
  CHECK(none.turns == 0);
  CHECK(none.longest == 0);
  CHECK(none.p99 == 0);
  runtime loop;
  CHECK(loop.stalls().turns == 0);
}

TEST_CASE("the percentile is exact to a sixteenth") {
  stall_meter meter;
  for (std::uint64_t i = 1; i <= 1000; ++i) meter.add(i * 1000);
  const auto seen = meter.statistics();
  CHECK(seen.turns == 1000);
  CHECK(seen.longest == 1'000'000);
  CHECK(seen.p99 >= 990'000);
  CHECK(seen.p99 <= 1'000'000);

  stall_meter one;
  one.add(5);
  CHECK(one.statistics().p99 == 5);
  CHECK(one.statistics().longest == 5);
}

TEST_CASE("a rare long stall is the longest and not the percentile") {
  stall_meter meter;
  for (int i = 0; i < 999; ++i) meter.add(100);
  meter.add(1'000'000'000);
  CHECK(meter.statistics().longest == 1'000'000'000);
  CHECK(meter.statistics().p99 >= 100);
  CHECK(meter.statistics().p99 < 110);
}

TEST_CASE("extreme values have their buckets") {
  stall_meter meter;
  meter.add(0);
  meter.add(UINT64_MAX);
  CHECK(meter.statistics().turns == 2);
  CHECK(meter.statistics().longest == UINT64_MAX);
  CHECK(meter.statistics().p99 == UINT64_MAX);
}

TEST_CASE("the runtime measures what blocks its loop, and not its sleep") {
  run_clean([]() -> task<> {
    runtime& loop = runtime::current();
    loop.measure_stalls();
    const auto begin = brood::clock::now();
    co_await brood::sleep_for(200ms);
    co_await brood::sleep_for(1ms);  // a turn counts when the next one begins
    const auto slept = loop.stalls();
    const auto blocked_from = brood::clock::now();
    while (brood::clock::now() - blocked_from < 60ms) {
    }
    co_await brood::sleep_for(1ms);
    const auto blocked = loop.stalls();
    const auto all =
        static_cast<std::uint64_t>(std::chrono::nanoseconds(brood::clock::now() - begin).count());
    CHECK(slept.turns > 0);
    CHECK(slept.longest < 200'000'000);
    CHECK(blocked.longest >= 60'000'000);
    CHECK(blocked.longest <= all);
  });
}
