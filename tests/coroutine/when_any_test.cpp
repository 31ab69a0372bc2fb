// when_any: the first end, and nothing lost of the others.
#include "brood/coroutine/when_any.hpp"

#include <deque>
#include <stdexcept>

#include "brood/coroutine/detail/suspension.hpp"
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
task<> fail_after(brood::clock::duration d) {
  co_await brood::sleep_for(d);
  throw std::runtime_error("first");
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

/// A channel that hands an item to its waiter, as the ones between processes do.
struct channel {
  std::deque<int> items;

  struct getter : brood::detail::suspension<getter> {
    explicit getter(channel& c) : from(c) {}
    bool await_ready() noexcept { return try_take(); }
    int await_resume() {
      take();
      return item;
    }
    void start() noexcept { from.waiting = this; }
    void abandon() noexcept { from.waiting = nullptr; }
    bool give_back() noexcept {
      from.items.push_front(item);
      return true;
    }
    bool try_take() noexcept {
      if (from.items.empty()) return false;
      item = from.items.front();
      from.items.pop_front();
      return true;
    }
    using suspension::complete;
    channel& from;
    int item = 0;
  };
  struct get_operation {
    channel& from;
    getter operator co_await() const noexcept { return getter(from); }
  };

  getter* waiting = nullptr;

  get_operation get() { return {*this}; }
  void put(int item) {
    items.push_back(item);
    if (waiting != nullptr && waiting->try_take()) std::exchange(waiting, nullptr)->complete();
  }
};

}  // namespace

TEST_CASE("a when_any constructed and never used starts nothing and frees its operations") {
  counted_check check;
  auto unused = brood::when_any(give_after(1s, counted(1)), give_after(1s, counted(2)));
  CHECK(counted::live == 2);
}

TEST_CASE("when_any gives the first result, the others are cancelled and awaited") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    auto first =
        co_await brood::when_any(note_end(ended), give_after(1s, counted(7)), give_after(2s, counted(8)));
    CHECK(first.index() == 1);
    CHECK(std::get<1>(first).value == 7);
    CHECK(ended == 1);
    CHECK(counted::live == 1);
  });
}

TEST_CASE("when_any of a vector says which ended first") {
  counted_check check;
  run_here([]() -> task<> {
    std::vector<task<counted>> several;
    for (int i = 0; i < 5; ++i) several.push_back(give_after(std::chrono::seconds(10 - i), counted(i)));
    const auto first = co_await brood::when_any(std::move(several));
    CHECK(first.index == 4);
    CHECK(first.value.value == 4);
    std::vector<task<>> none;
    CHECK_THROWS_AS(co_await brood::when_any(std::move(none)), std::invalid_argument);
  });
}

TEST_CASE("when_any gives references") {
  int one = 1;
  auto refer = [](int& v) -> task<int&> { co_return v; };
  run_here([&]() -> task<> {
    auto first = co_await brood::when_any(refer(one), brood::sleep_for(1s));
    CHECK(&std::get<0>(first).get() == &one);
  });
}

TEST_CASE("when_any throws what the first one threw") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    auto any = brood::when_any(note_end(ended), fail_after(1s));
    CHECK_THROWS_WITH(co_await std::move(any), "first");
    CHECK(ended == 1);
  });
}

TEST_CASE("when_any loses nothing when two are ready from the start") {
  channel a;
  channel b;
  a.put(1);
  b.put(2);
  run_here([&]() -> task<> {
    auto first = co_await brood::when_any(a.get(), b.get());
    CHECK(first.index() == 0);
    CHECK(b.items == std::deque<int>{2});
    std::vector<channel::get_operation> both{b.get(), b.get()};
    b.put(3);
    auto next = co_await brood::when_any(std::move(both));
    CHECK(next.value == 2);
    CHECK(b.items == std::deque<int>{3});
  });
}

TEST_CASE("when_any loses nothing when two complete in the same turn") {
  channel a;
  channel b;
  run_here([&]() -> task<> {
    auto putter = [&]() -> task<> {
      while (a.waiting == nullptr || b.waiting == nullptr) co_await brood::yield();
      b.put(2);
      a.put(1);
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(putter());
      auto first = co_await brood::when_any(a.get(), b.get());
      CHECK(first.index() == 1);
      CHECK(std::get<1>(first) == 2);
    });
  });
  CHECK(a.items == std::deque<int>{1});
  CHECK(b.items.empty());
  CHECK(a.waiting == nullptr);
}

TEST_CASE("cancelling when_any cancels each operation") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    auto both = brood::when_any(note_end(ended), note_end(ended));
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, std::move(both)), brood::timed_out);
    CHECK(ended == 2);
  });
}

TEST_CASE("a loser that does not listen is awaited all the same, its result is dropped") {
  counted_check check;
  run_here([]() -> task<> {
    auto stubborn = []() -> task<counted> {
      try {
        co_await brood::sleep_for(1h);
      } catch (const brood::cancelled&) {
      }
      co_return counted(9);
    };
    auto first = co_await brood::when_any(stubborn(), give_after(1s, counted(1)));
    CHECK(first.index() == 1);
    CHECK(counted::live == 1);
  });
}
