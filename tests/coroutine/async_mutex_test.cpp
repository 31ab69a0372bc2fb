// async_mutex, async_semaphore, async_condition: turns in one loop, in their order, and cancellation that takes nothing.
#include "brood/coroutine/async_mutex.hpp"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <vector>

#include "brood/coroutine/async_condition.hpp"
#include "brood/coroutine/async_semaphore.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::async_condition;
using brood::async_mutex;
using brood::async_mutex_guard;
using brood::async_permit;
using brood::async_semaphore;
using brood::nursery;
using brood::task;

namespace {

task<> log_turn(async_mutex& mutex, std::vector<int>& log, int number) {
  const auto held = co_await mutex.acquire();
  log.push_back(number);
  co_await brood::yield();
  CHECK(log.back() == number);  // nobody in between
}

task<> expect_cancelled(async_mutex& mutex, int& cancelled) {
  try {
    const auto held = co_await mutex.acquire();
  } catch (const brood::cancelled&) {
    ++cancelled;
  }
}

}  // namespace

TEST_CASE("a mutex and a semaphore constructed and never used are free") {
  async_mutex mutex;
  CHECK_FALSE(mutex.locked());
  {
    [[maybe_unused]] auto unused = mutex.acquire();
  }
  CHECK_FALSE(mutex.locked());
  async_semaphore semaphore(3);
  {
    [[maybe_unused]] auto unused = semaphore.acquire(2);
  }
  CHECK(semaphore.value() == 3);
  const async_mutex_guard guard;
  CHECK_FALSE(guard);
  const async_permit permit;
  CHECK_FALSE(permit);
}

TEST_CASE("a mutex is held by one at a time, first come, first served") {
  std::vector<int> log;
  run_here([&]() -> task<> {
    async_mutex mutex;
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) n.start(log_turn(mutex, log, i));
      co_return;
    });
    CHECK_FALSE(mutex.locked());
  });
  CHECK(log == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("a mutex that was released belongs to the first who waits, not to who comes by") {
  run_here([]() -> task<> {
    async_mutex mutex;
    std::vector<int> log;
    auto held = co_await mutex.acquire();
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(log_turn(mutex, log, 1));
      co_await brood::yield();
      CHECK(mutex.waiting() == 1);
      held.release();
      const auto barging = mutex.try_acquire();
      CHECK_FALSE(barging);
      co_await log_turn(mutex, log, 2);
    });
    CHECK(log == std::vector<int>{1, 2});
  });
}

TEST_CASE(
    "a wait for a mutex is cancelled before its turn, or when the turn has come and it has not gone on") {
  run_here([]() -> task<> {
    async_mutex mutex;
    int cancelled = 0;
    for (const bool released_first : {false, true}) {
      auto held = co_await mutex.acquire();
      std::vector<int> log;
      co_await brood::with_nursery([&](nursery& outer) -> task<> {
        co_await brood::with_nursery([&](nursery& n) -> task<> {
          n.start(expect_cancelled(mutex, cancelled));
          co_await brood::yield();
          outer.start(log_turn(mutex, log, 1));
          co_await brood::yield();
          CHECK(mutex.waiting() == 2);
          if (released_first) held.release();
          n.cancel();
        });
        if (!released_first) held.release();
      });
      CHECK(log == std::vector<int>{1});  // the turn went on to the next
      CHECK_FALSE(mutex.locked());
    }
    CHECK(cancelled == 2);
  });
}

TEST_CASE("two mutexes that are awaited together and come at once: one is held") {
  run_here([]() -> task<> {
    async_mutex a, b;
    auto first = co_await a.acquire();
    auto second = co_await b.acquire();
    auto take_either = [&]() -> task<> {
      const auto either = co_await brood::when_any(a.acquire(), b.acquire());
      CHECK(either.index() == 0);
      CHECK(a.locked());
      CHECK_FALSE(b.locked());
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(take_either());
      while (b.waiting() == 0) co_await brood::yield();
      first.release();
      second.release();
    });
    CHECK_FALSE(a.locked());
  });
}

TEST_CASE("guards say so when they hold nothing, operations when they are awaited twice") {
  run_here([]() -> task<> {
    async_mutex mutex;
    auto held = co_await mutex.acquire();
    auto moved = std::move(held);
    CHECK_THROWS_AS(held.release(), std::logic_error);
    CHECK(mutex.locked());
    moved.release();
    CHECK_THROWS_AS(moved.release(), std::logic_error);
    CHECK_FALSE(mutex.locked());
    auto operation = mutex.acquire();
    {
      const auto again = co_await std::move(operation);
    }
    CHECK_THROWS_AS(static_cast<void>(co_await std::move(operation)), std::logic_error);
    CHECK_FALSE(mutex.locked());
  });
}

TEST_CASE("a mutex is used on one thread") {
  async_mutex mutex;
  run_here([&]() -> task<> { const auto held = co_await mutex.acquire(); });
  bool refused = false;
  std::thread([&] {
    try {
      run_here([&]() -> task<> { const auto held = co_await mutex.acquire(); });
    } catch (const brood::wrong_thread&) {
      refused = true;
    }
  }).join();
  CHECK(refused);
  CHECK_FALSE(mutex.locked());
}

TEST_CASE("a semaphore lets as many go on as it has permits") {
  run_here([]() -> task<> {
    async_semaphore semaphore(3);
    int inside = 0, most = 0;
    auto work = [&]() -> task<> {
      const auto permit = co_await semaphore.acquire();
      most = std::max(most, ++inside);
      co_await brood::sleep_for(1s);
      --inside;
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) n.start(work());
      co_return;
    });
    CHECK(most == 3);
    CHECK(semaphore.value() == 3);
  });
}

TEST_CASE("nobody passes one who waits for several permits; when it is cancelled those behind it go on") {
  run_here([]() -> task<> {
    async_semaphore semaphore(2);
    auto one = co_await semaphore.acquire();
    bool many_cancelled = false, small_went_on = false;
    auto take_many = [&]() -> task<> {
      try {
        const auto permit = co_await semaphore.acquire(2);
      } catch (const brood::cancelled&) {
        many_cancelled = true;
      }
    };
    auto take_one = [&]() -> task<> {
      const auto permit = co_await semaphore.acquire();
      small_went_on = true;
    };
    co_await brood::with_nursery([&](nursery& outer) -> task<> {
      co_await brood::with_nursery([&](nursery& n) -> task<> {
        n.start(take_many());
        co_await brood::yield();
        outer.start(take_one());
        co_await brood::yield();
        CHECK(semaphore.value() == 1);
        CHECK_FALSE(small_went_on);
        const auto passing = semaphore.try_acquire();
        CHECK_FALSE(passing);
        n.cancel();
      });
    });
    CHECK(many_cancelled);
    CHECK(small_went_on);
    one.release();
    CHECK(semaphore.value() == 2);
  });
}

TEST_CASE("permits are detached and released by others, and too many are refused") {
  run_here([]() -> task<> {
    async_semaphore semaphore(2);
    {
      auto permit = co_await semaphore.acquire(2);
      CHECK(permit.count() == 2);
      permit.detach();
      CHECK_THROWS_AS(permit.release(), std::logic_error);
    }
    CHECK(semaphore.value() == 0);
    semaphore.release(2);
    CHECK(semaphore.value() == 2);
    CHECK_THROWS_AS(semaphore.release(SIZE_MAX), std::overflow_error);
    CHECK(semaphore.value() == 2);
  });
}

TEST_CASE("a condition gives up its mutex while one waits, and holds it again after") {
  run_here([]() -> task<> {
    async_mutex mutex;
    async_condition changed(mutex);
    int value = 0;
    auto wait = [&](int wanted) -> task<> {
      auto held = co_await mutex.acquire();
      const auto there = [&value, wanted] { return value >= wanted; };
      co_await changed.wait(held, there);
      CHECK(mutex.locked());
      CHECK(held);
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait(1));
      n.start(wait(2));
      while (changed.waiting() < 2) co_await brood::yield();
      for (int i = 0; i < 2; ++i) {
        const auto held = co_await mutex.acquire();
        ++value;
        changed.notify_all();
      }
    });
    CHECK_FALSE(mutex.locked());
  });
}

TEST_CASE("a condition's wait that is cancelled holds the mutex; its notification goes to the next") {
  run_here([]() -> task<> {
    async_mutex mutex;
    async_condition changed(mutex);
    int cancelled = 0, notified = 0;
    auto wait = [&]() -> task<> {
      auto held = co_await mutex.acquire();
      try {
        co_await changed.wait(held);
        ++notified;
      } catch (const brood::cancelled&) {
        ++cancelled;
      }
      CHECK(held);
    };
    co_await brood::with_nursery([&](nursery& outer) -> task<> {
      co_await brood::with_nursery([&](nursery& n) -> task<> {
        n.start(wait());
        while (changed.waiting() < 1) co_await brood::yield();
        outer.start(wait());
        while (changed.waiting() < 2) co_await brood::yield();
        changed.notify();
        n.cancel();
      });
    });
    CHECK(cancelled == 1);
    CHECK(notified == 1);
    CHECK_FALSE(mutex.locked());

    async_mutex other;
    auto held = co_await other.acquire();
    CHECK_THROWS_AS(co_await changed.wait(held), std::logic_error);
    CHECK(held);
  });
}
