// generator: many values, one at a time, with waits between them.
#include "brood/coroutine/generator.hpp"

#include <memory>
#include <stdexcept>
#include <vector>

#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "counted.hpp"
#include "tail_calls.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::generator;
using brood::task;

namespace {

generator<int> count(int n) {
  for (int i = 0; i < n; ++i) {
    if (i % 2 == 1) co_await brood::sleep_for(1s);
    co_yield i;
  }
}

generator<counted> count_counted(counted first) {
  for (;;) {
    co_yield first;
    ++first.value;
  }
}

task<std::vector<int>> collect(generator<int> source) {
  std::vector<int> values;
  while (auto value = co_await source.next()) values.push_back(*value);
  co_return values;
}

}  // namespace

TEST_CASE("a generator constructed and never used frees its arguments") {
  counted_check check;
  auto unused = count_counted(counted(1));
  CHECK(counted::live == 1);
}

TEST_CASE("a generator gives its values and then nothing, for ever") {
  CHECK(run_here([]() -> task<std::vector<int>> { co_return co_await collect(count(5)); }) ==
        std::vector<int>{0, 1, 2, 3, 4});
  run_here([]() -> task<> {
    auto empty = count(0);
    for (int i = 0; i < 3; ++i) {
      const auto value = co_await empty.next();
      CHECK_FALSE(value);
    }
  });
}

TEST_CASE("a generator dropped between two values drops the rest") {
  counted_check check;
  run_here([]() -> task<> {
    auto values = count_counted(counted(5));
    auto first = co_await values.next();
    auto second = co_await values.next();
    CHECK(first->value == 5);
    CHECK(second->value == 6);
  });
}

TEST_CASE("a generator gives move-only values") {
  run_here([]() -> task<> {
    auto make = []() -> generator<std::unique_ptr<int>> {
      co_yield std::make_unique<int>(1);
      auto two = std::make_unique<int>(2);
      co_yield std::move(two);
    };
    auto values = make();
    const auto one = co_await values.next();
    const auto two = co_await values.next();
    CHECK(**one == 1);
    CHECK(**two == 2);
  });
}

TEST_CASE("an exception in a generator leaves at next, and the generator is at its end") {
  counted_check check;
  run_here([]() -> task<> {
    auto make = [](counted) -> generator<int> {
      co_yield 1;
      throw std::runtime_error("no more");
    };
    auto values = make(counted());
    auto first = co_await values.next();
    CHECK(first == 1);
    CHECK_THROWS_WITH(co_await values.next(), "no more");
    auto after = co_await values.next();
    CHECK_FALSE(after);
  });
}

TEST_CASE("a generator waits with the stop token of whoever waits for it") {
  run_here([]() -> task<> {
    auto make = []() -> generator<int> {
      co_yield 1;
      co_await brood::sleep_for(1h);
      co_yield 2;
    };
    auto values = make();
    auto read = [&]() -> task<std::optional<int>> { co_return co_await values.next(); };
    auto first = co_await brood::with_timeout(1s, read());
    CHECK(first == 1);
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, read()), brood::timed_out);
    auto after = co_await values.next();
    CHECK_FALSE(after);
  });
}

TEST_CASE("a generator moves") {
  run_here([]() -> task<> {
    auto values = count(3);
    co_await values.next();
    auto moved = std::move(values);
    auto second = co_await moved.next();
    CHECK(second == 1);
    moved = count(1);
    auto first = co_await moved.next();
    CHECK(first == 0);
    auto nothing =
        co_await values.next();  // NOLINT(bugprone-use-after-move): a moved-from generator is at its end
    CHECK_FALSE(nothing);
  });
}

TEST_CASE("many values in a row do not grow the stack") {
  constexpr int many = transfer_is_a_tail_call ? 1'000'000 : 1'000;
  auto make = []() -> generator<int> {
    for (int i = 0; i < many; ++i) co_yield i;
  };
  const int values = run_here([&]() -> task<int> {
    int n = 0;
    auto source = make();
    while (co_await source.next()) ++n;
    co_return n;
  });
  CHECK(values == many);
}
