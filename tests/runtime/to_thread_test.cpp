// to_thread and poll: what blocks runs elsewhere, what is ready is told.
#include "brood/runtime/to_thread.hpp"

#include <unistd.h>

#include <array>
#include <future>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::fd_watch;
using brood::nursery;
using brood::task;

TEST_CASE("a function runs on another thread; its result, or what it threw, comes back") {
  run_clean([]() -> task<> {
    const auto thread_of = [] { return std::this_thread::get_id(); };
    const auto elsewhere = co_await brood::to_thread(thread_of);
    CHECK(elsewhere != std::this_thread::get_id());
    const auto make = [] { return std::make_unique<int>(5); };
    const auto five = co_await brood::to_thread(make);
    CHECK(*five == 5);
    const auto fail = [] { throw std::runtime_error("no luck"); };
    CHECK_THROWS_AS(co_await brood::to_thread(fail), std::runtime_error);
    bool ran = false;
    {
      const auto never_awaited = brood::to_thread([&ran] { ran = true; });
    }
    CHECK_FALSE(ran);
  });
}

TEST_CASE("what has begun on a thread is awaited when it is cancelled, what has not never begins") {
  run_clean([]() -> task<> {
    std::promise<void> go;
    const std::shared_future<void> gone = go.get_future().share();
    std::atomic<int> begun = 0;
    int ended = 0, cancelled = 0;
    auto run = [&]() -> task<> {
      const auto block = [&] {
        ++begun;
        gone.wait();
      };
      try {
        co_await brood::to_thread(block);
        ++ended;
      } catch (const brood::cancelled&) {
        ++cancelled;
      }
    };
    auto let_go = [&]() -> task<> {
      while (cancelled == 0) co_await brood::yield();
      go.set_value();
    };
    co_await brood::with_nursery([&](nursery& outer) -> task<> {
      co_await brood::with_nursery([&](nursery& n) -> task<> {
        for (int i = 0; i < 2000; ++i) n.start(run());  // more than the pool can have threads
        while (begun == 0) co_await brood::yield();
        outer.start(let_go());
        n.cancel();
      });
    });
    CHECK(ended == begun);
    CHECK(ended + cancelled == 2000);
    CHECK(cancelled > 0);
  });
}

TEST_CASE("poll waits until a descriptor is ready, and leaves no watch when it is cancelled") {
  run_clean([]() -> task<> {
    std::array<int, 2> ends{};
    const int made = pipe(ends.data());
    REQUIRE(made == 0);
    const int writable = co_await brood::poll(ends[1], fd_watch::writable);
    CHECK(writable == fd_watch::writable);
    CHECK_THROWS_AS(
        static_cast<void>(co_await brood::with_timeout(1ms, brood::poll(ends[0], fd_watch::readable))),
        brood::timed_out);
    auto wait = [&]() -> task<> {
      const int readable = co_await brood::poll(ends[0], fd_watch::readable);
      CHECK(readable == fd_watch::readable);
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait());
      co_await brood::yield();
      const auto written = write(ends[1], "x", 1);
      CHECK(written == 1);
    });
    for (const int end : ends) close(end);
    CHECK_THROWS_AS(static_cast<void>(co_await brood::poll(ends[0], fd_watch::readable)), std::system_error);
  });
}
