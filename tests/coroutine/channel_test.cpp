// channel: items in their order, waits in theirs, and cancellation at every point.
#include "brood/coroutine/channel.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::channel;
using brood::nursery;
using brood::task;

namespace {

task<> put_numbers(channel<counted>& c, int from, int to) {
  for (int i = from; i < to; ++i) co_await c.put(counted(i));
}
task<> take_all(channel<counted>& c, std::vector<int>& log) {
  while (const auto item = co_await c.next()) log.push_back(item->value);
}
task<> take_one(channel<counted>& c, std::vector<int>& log) {
  const counted item = co_await c.get();
  log.push_back(item.value);
}

}  // namespace

TEST_CASE("a channel constructed and never used holds nothing; one that is dropped destroys its items") {
  counted_check check;
  {
    channel<counted> unused(3);
    CHECK(unused.empty());
    CHECK(unused.capacity() == 3);
    {
      auto never_awaited = unused.put(counted(1));
      CHECK(counted::live == 1);
    }
    CHECK(counted::live == 0);
    unused.try_put(counted(1));
    unused.try_put(counted(2));
    CHECK(counted::live == 2);
  }
  CHECK_THROWS_AS(channel<int>(0), std::invalid_argument);
}

TEST_CASE("items come out in the order in which they were put, through a channel of any capacity") {
  for (const std::size_t capacity : {1u, 2u, 7u, 100u}) {
    counted_check check;
    std::vector<int> log;
    run_here([&]() -> task<> {
      channel<counted> c(capacity);
      co_await brood::with_nursery([&](nursery& n) -> task<> {
        n.start(take_all(c, log));
        co_await put_numbers(c, 0, 100);
        c.close();
      });
    });
    std::vector<int> expected(100);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(log == expected);
  }
}

TEST_CASE("every item goes to one of several consumers") {
  counted_check check;
  std::vector<int> log;
  run_here([&]() -> task<> {
    channel<counted> c(2);
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 3; ++i) n.start(take_all(c, log));
      co_await brood::with_nursery([&](nursery& producers) -> task<> {
        for (int i = 0; i < 4; ++i) producers.start(put_numbers(c, i * 100, i * 100 + 50));
        co_return;
      });
      c.close();
    });
  });
  CHECK(log.size() == 200);
  std::sort(log.begin(), log.end());
  CHECK(std::adjacent_find(log.begin(), log.end()) == log.end());
}

TEST_CASE("consumers are served in the order in which they came, and newcomers do not pass them") {
  run_here([]() -> task<> {
    channel<counted> c(4);
    std::vector<int> first, second;
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(take_one(c, first));
      co_await brood::yield();
      n.start(take_one(c, second));
      co_await brood::yield();
      CHECK(c.waiting_consumers() == 2);
      c.try_put(counted(1));
      const auto passing = c.try_get();
      CHECK_FALSE(passing);
      c.try_put(counted(2));
    });
    CHECK(first == std::vector<int>{1});
    CHECK(second == std::vector<int>{2});
  });
}

TEST_CASE("a consumer that is cancelled has taken nothing, also when an item had come for it") {
  counted_check check;
  run_here([]() -> task<> {
    for (const bool came : {false, true}) {
      channel<counted> c(4);
      std::vector<int> cancelled, log;
      co_await brood::with_nursery([&](nursery& outer) -> task<> {
        co_await brood::with_nursery([&](nursery& n) -> task<> {
          n.start(take_one(c, cancelled));
          co_await brood::yield();
          outer.start(take_one(c, log));
          co_await brood::yield();
          if (came) c.try_put(counted(1));
          n.cancel();
        });
        if (!came) c.try_put(counted(1));
      });
      CHECK(cancelled.empty());
      CHECK(log == std::vector<int>{1});
      CHECK(c.empty());
    }
  });
}

TEST_CASE("several consumers that are cancelled at once leave the items in their order") {
  counted_check check;
  run_here([]() -> task<> {
    channel<counted> c(4);
    std::vector<int> none, log;
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 3; ++i) n.start(take_one(c, none));
      co_await brood::yield();
      for (int i = 0; i < 3; ++i) c.try_put(counted(i));
      n.cancel();
    });
    CHECK(none.empty());
    CHECK(c.size() == 3);
    c.close();
    co_await take_all(c, log);
    CHECK(log == std::vector<int>{0, 1, 2});
  });
}

TEST_CASE("a producer that is cancelled has put nothing, also when a place had come for it") {
  counted_check check;
  run_here([]() -> task<> {
    for (const bool came : {false, true}) {
      channel<counted> c(1);
      c.try_put(counted(0));
      std::vector<int> log;
      co_await brood::with_nursery([&](nursery& outer) -> task<> {
        co_await brood::with_nursery([&](nursery& n) -> task<> {
          n.start(put_numbers(c, 1, 2));
          co_await brood::yield();
          outer.start(put_numbers(c, 2, 3));
          co_await brood::yield();
          CHECK(c.waiting_producers() == 2);
          if (came) {
            co_await take_one(c, log);
            CHECK_FALSE(c.try_put(counted(9)));  // the place is somebody's
          }
          n.cancel();
        });
        if (!came) co_await take_one(c, log);
      });
      co_await take_one(c, log);
      CHECK(log == std::vector<int>{0, 2});
      CHECK(c.empty());
    }
  });
}

TEST_CASE("a race between two channels takes from one") {
  counted_check check;
  run_here([]() -> task<> {
    channel<counted> a(1), b(1);
    auto take_either = [&]() -> task<> {
      const auto either = co_await brood::when_any(a.get(), b.get());
      CHECK(std::get<0>(either).value == 1);
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(take_either());
      while (b.waiting_consumers() == 0) co_await brood::yield();
      a.try_put(counted(1));
      b.try_put(counted(2));
    });
    CHECK(a.empty());
    CHECK(b.size() == 1);
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, b.put(counted(3))), brood::timed_out);
    CHECK(b.size() == 1);
  });
}

TEST_CASE("closing wakes everybody who waits in vain; what is in the channel is still taken") {
  counted_check check;
  run_here([]() -> task<> {
    channel<counted> c(1);
    int refused = 0;
    auto get = [&]() -> task<> { CHECK_THROWS_AS(static_cast<void>(co_await c.get()), brood::closed); };
    auto put = [&]() -> task<> {
      try {
        co_await c.put(counted(1));
      } catch (const brood::closed&) {
        ++refused;
      }
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(put());
      n.start(put());
      co_await brood::yield();
      c.close();
      c.close();
    });
    CHECK(refused == 1);
    const counted last = co_await c.get();
    CHECK(last.value == 1);
    co_await get();
    const auto nothing = co_await c.next();
    CHECK_FALSE(nothing);
    CHECK_THROWS_AS(c.try_get(), brood::closed);
    CHECK_THROWS_AS(c.try_put(counted(1)), brood::closed);

    channel<counted> empty(1);
    auto wait = [&]() -> task<> {
      const auto item = co_await empty.next();
      CHECK_FALSE(item);
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait());
      n.start(wait());
      co_await brood::yield();
      empty.close();
    });
  });
}

TEST_CASE("a consumer of a closed channel gets the item that another one was promised and did not take") {
  counted_check check;
  run_here([]() -> task<> {
    channel<counted> c(1);
    std::vector<int> cancelled, log;
    co_await brood::with_nursery([&](nursery& outer) -> task<> {
      co_await brood::with_nursery([&](nursery& n) -> task<> {
        n.start(take_one(c, cancelled));
        co_await brood::yield();
        outer.start(take_all(c, log));
        co_await brood::yield();
        c.try_put(counted(1));
        c.close();
        n.cancel();
      });
    });
    CHECK(cancelled.empty());
    CHECK(log == std::vector<int>{1});
  });
}

TEST_CASE("items that only move, misuse, and the thread a channel belongs to") {
  channel<std::unique_ptr<int>> c(1);
  run_here([&]() -> task<> {
    co_await c.put(std::make_unique<int>(1));
    const auto one = co_await c.get();
    CHECK(*one == 1);
    auto put = c.put(std::make_unique<int>(2));
    co_await std::move(put);
    CHECK_THROWS_AS(co_await std::move(put), std::logic_error);
    auto kept = std::make_unique<int>(3);
    CHECK_FALSE(c.try_put(std::move(kept)));
    CHECK(kept != nullptr);  // NOLINT(bugprone-use-after-move): it was not moved
    auto get = c.get();
    const auto two = co_await std::move(get);
    CHECK(*two == 2);
    CHECK_THROWS_AS(static_cast<void>(co_await std::move(get)), std::logic_error);
  });
  bool refused = false;
  std::thread([&] {
    try {
      run_here([&]() -> task<> { co_await c.put(nullptr); });
    } catch (const brood::wrong_thread&) {
      refused = true;
    }
  }).join();
  CHECK(refused);
  CHECK(c.empty());
}
