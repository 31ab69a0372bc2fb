// when_all: all results, or the first failure once all have ended.
#include "brood/coroutine/when_all.hpp"

#include <memory>
#include <stdexcept>
#include <string>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::task;

namespace {

task<counted> give_after(brood::clock::duration d, counted value) {
  co_await brood::sleep_for(d);
  co_return value;
}
task<> fail_after(brood::clock::duration d, std::string text) {
  co_await brood::sleep_for(d);
  throw std::runtime_error(text);
}
task<> note_end(int& ended) {
  counted here;
  try {
    co_await brood::sleep_for(1h);
  } catch (const brood::cancelled&) {
    ++ended;
    throw;
  }
}

}  // namespace

TEST_CASE("a when_all constructed and never used starts nothing and frees its operations") {
  counted_check check;
  {
    auto unused = brood::when_all(give_after(1s, counted(1)), give_after(1s, counted(2)));
    CHECK(counted::live == 2);
    std::vector<task<counted>> several;
    several.push_back(give_after(1s, counted(3)));
    auto unused_vector = brood::when_all(std::move(several));
    CHECK(counted::live == 3);
  }
}

TEST_CASE("when_all gives a tuple of all results") {
  counted_check check;
  run_here([]() -> task<> {
    auto text = []() -> task<std::unique_ptr<std::string>> {
      co_return std::make_unique<std::string>("text");
    };
    auto [a, b, c] = co_await brood::when_all(give_after(2s, counted(1)), text(), brood::sleep_for(1s));
    CHECK(a.value == 1);
    CHECK(*b == "text");
    static_assert(std::is_same_v<decltype(c), std::monostate>);
    auto none = co_await brood::when_all();
    static_assert(std::tuple_size_v<decltype(none)> == 0);
  });
}

TEST_CASE("when_all of a vector gives its results in order") {
  counted_check check;
  run_here([]() -> task<> {
    std::vector<task<counted>> several;
    for (int i = 0; i < 10; ++i) several.push_back(give_after(std::chrono::seconds(10 - i), counted(i)));
    const std::vector<counted> results = co_await brood::when_all(std::move(several));
    CHECK(results.size() == 10);
    for (int i = 0; i < 10; ++i) CHECK(results[static_cast<std::size_t>(i)].value == i);

    std::vector<task<>> nothing;
    co_await brood::when_all(std::move(nothing));
    std::vector<brood::sleep_until> sleeps(3, brood::sleep_for(1s));
    co_await brood::when_all(sleeps);
  });
}

TEST_CASE("when_all gives references") {
  int one = 1;
  int two = 2;
  auto refer = [](int& v) -> task<int&> { co_return v; };
  run_here([&]() -> task<> {
    auto [a, b] = co_await brood::when_all(refer(one), refer(two));
    CHECK(&a.get() == &one);
    CHECK(&b.get() == &two);
    std::vector<task<int&>> several;
    several.push_back(refer(one));
    auto references = co_await brood::when_all(std::move(several));
    CHECK(&references[0].get() == &one);
  });
}

TEST_CASE("the first failure of when_all cancels the rest, which are awaited") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    auto all =
        brood::when_all(note_end(ended), fail_after(2s, "later"), fail_after(1s, "first"), note_end(ended));
    CHECK_THROWS_WITH(co_await std::move(all), "first");
    CHECK(ended == 2);
    CHECK(counted::live == 0);

    std::vector<task<>> several;
    several.push_back(note_end(ended));
    several.push_back(fail_after(1s, "one of many"));
    CHECK_THROWS_WITH(co_await brood::when_all(std::move(several)), "one of many");
    CHECK(ended == 3);
  });
}

TEST_CASE("what has not begun when when_all fails never begins") {
  bool began = false;
  auto fail = []() -> task<> {
    throw std::runtime_error("at once");
    co_return;
  };
  auto begin = [&]() -> task<> {
    began = true;
    co_return;
  };
  run_here([&]() -> task<> { CHECK_THROWS_WITH(co_await brood::when_all(fail(), begin()), "at once"); });
  CHECK_FALSE(began);
}

TEST_CASE("cancelling when_all cancels each operation") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    auto both = brood::when_all(note_end(ended), note_end(ended));
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, std::move(both)), brood::timed_out);
    CHECK(ended == 2);
  });
}

TEST_CASE("a stop that comes when all have ended keeps the results") {
  run_here([]() -> task<> {
    co_await brood::with_nursery([](brood::nursery& n) -> task<> {
      auto last = [&]() -> task<int> {
        n.cancel();
        co_return 2;
      };
      auto first = []() -> task<int> { co_return 1; };
      auto [a, b] = co_await brood::when_all(first(), last());
      CHECK(a + b == 3);
    });
  });
}
