// async_event: waits in one loop, and the thread it belongs to.
#include "brood/coroutine/async_event.hpp"

#include <thread>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::async_event;
using brood::nursery;
using brood::task;

TEST_CASE("an event constructed and never used is clear and has no waiters") {
  const async_event event;
  CHECK_FALSE(event.is_set());
  CHECK(event.waiting() == 0);
}

TEST_CASE("who waited when an event was set goes on, also if it was cleared at once") {
  int woken = 0;
  run_here([&]() -> task<> {
    async_event event;
    auto wait = [&]() -> task<> {
      co_await event.wait();
      ++woken;
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait());
      n.start(wait());
      co_await brood::yield();
      CHECK(event.waiting() == 2);
      event.set();
      event.clear();
      CHECK(event.waiting() == 0);
    });
    CHECK_FALSE(event.is_set());
  });
  CHECK(woken == 2);
}

TEST_CASE("a wait for an event that was set does not suspend; one that times out leaves the event") {
  run_here([]() -> task<> {
    async_event event;
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, event.wait()), brood::timed_out);
    CHECK(event.waiting() == 0);
    event.set();
    co_await brood::with_timeout(0s, event.wait());
  });
}

TEST_CASE("an event is used on one thread") {
  async_event event;
  event.clear();
  bool set_refused = false, wait_refused = false;
  std::thread([&] {
    try {
      event.set();
    } catch (const brood::wrong_thread&) {
      set_refused = true;
    }
    try {
      run_here([&]() -> task<> { co_await event.wait(); });
    } catch (const brood::wrong_thread&) {
      wait_refused = true;
    }
  }).join();
  CHECK(set_refused);
  CHECK(wait_refused);
  CHECK_FALSE(event.is_set());
}
