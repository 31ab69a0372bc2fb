// oneshot: one value, one error, one taker.
#include "brood/coroutine/oneshot.hpp"

#include <memory>
#include <stdexcept>
#include <thread>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::nursery;
using brood::oneshot;
using brood::task;

TEST_CASE("a oneshot constructed and never used holds nothing, and destroys what nobody took") {
  counted_check check;
  const oneshot<> unused;
  CHECK_FALSE(unused.is_set());
  oneshot<counted> dropped;
  dropped.set(1);
  CHECK(counted::live == 1);
}

TEST_CASE("a value goes to who waits, or will") {
  counted_check check;
  run_here([]() -> task<> {
    oneshot<counted> early, late;
    early.set(1);
    const counted one = co_await early.get();
    CHECK(one.value == 1);
    CHECK(early.is_set());
    auto wait = [&]() -> task<> {
      const counted two = co_await late.get();
      CHECK(two.value == 2);
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait());
      co_await brood::yield();
      late.set(counted(2));
    });
    int number = 3;
    oneshot<int&> reference;
    reference.set(number);
    int& same = co_await reference.get();
    CHECK(&same == &number);
    oneshot<> done;
    done.set();
    co_await done.get();
    oneshot<std::unique_ptr<int>> moved;
    moved.set(std::make_unique<int>(4));
    const auto four = co_await moved.get();
    CHECK(*four == 4);
  });
}

TEST_CASE("an error is thrown where the value is awaited") {
  run_here([]() -> task<> {
    oneshot<int> failing;
    failing.fail(std::make_exception_ptr(std::runtime_error("no luck")));
    CHECK_THROWS_AS(static_cast<void>(co_await failing.get()), std::runtime_error);
    CHECK_THROWS_AS(failing.set(1), std::logic_error);
  });
}

TEST_CASE("a wait that is cancelled took nothing, also when the value had come") {
  counted_check check;
  run_here([]() -> task<> {
    oneshot<counted> value;
    CHECK_THROWS_AS(static_cast<void>(co_await brood::with_timeout(1s, value.get())), brood::timed_out);
    auto wait = [&]() -> task<> {
      CHECK_THROWS_AS(static_cast<void>(co_await value.get()), brood::cancelled);
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait());
      co_await brood::yield();
      value.set(7);
      n.cancel();
    });
    const counted seven = co_await value.get();
    CHECK(seven.value == 7);
  });
}

TEST_CASE("a oneshot that is set twice, awaited twice, or used on another thread says so") {
  oneshot<int> value;
  run_here([&]() -> task<> {
    auto wait = [&]() -> task<> { static_cast<void>(co_await value.get()); };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait());
      co_await brood::yield();
      CHECK_THROWS_AS(static_cast<void>(co_await value.get()), std::logic_error);  // somebody waits
      value.set(1);
      CHECK_THROWS_AS(value.set(2), std::logic_error);
    });
    CHECK_THROWS_AS(static_cast<void>(co_await value.get()), std::logic_error);  // it was taken
  });
  bool refused = false;
  std::thread([&] {
    try {
      value.set(3);
    } catch (const brood::wrong_thread&) {
      refused = true;
    }
  }).join();
  CHECK(refused);
}

TEST_CASE("a newcomer does not take the value of who waited for it") {
  run_here([]() -> task<> {
    oneshot<int> value;
    int got = 0;
    auto wait = [&]() -> task<> { got = co_await value.get(); };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait());
      co_await brood::yield();
      value.set(1);
      CHECK_THROWS_AS(co_await value.get(), std::logic_error);
    });
    CHECK(got == 1);
  });
}
