// sync_wait: awaiting from a plain function.
#include "brood/runtime/sync_wait.hpp"

#include <memory>
#include <stdexcept>
#include <thread>

#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "counted.hpp"
#include "leftovers.hpp"

using namespace std::chrono_literals;
using brood::runtime;
using brood::sync_wait;
using brood::task;

namespace {
task<counted> give(counted value) {
  co_await brood::yield();
  co_return value;
}
}  // namespace

TEST_CASE("sync_wait makes a runtime for a thread that has none, which ends with the thread") {
  counted_check check;
  const leftovers before = leftovers::now();
  std::thread([] {
    CHECK(runtime::current_or_null() == nullptr);
    CHECK(sync_wait(give(counted(3))).value == 3);
    runtime* kept = runtime::current_or_null();
    CHECK(kept != nullptr);
    sync_wait(brood::sleep_for(1ms));
    CHECK(runtime::current_or_null() == kept);
  }).join();
  CHECK(leftovers::now() == before);
}

TEST_CASE("sync_wait uses the thread's runtime, whose tasks run meanwhile") {
  runtime loop;
  int steps = 0;
  auto count = [&]() -> task<> {
    for (int i = 0; i < 3; ++i) {
      co_await brood::sleep_for(1ms);
      ++steps;
    }
  };
  loop.start(count());
  sync_wait(brood::sleep_for(20ms));
  CHECK(steps == 3);
  CHECK(runtime::current_or_null() == &loop);
}

TEST_CASE("sync_wait gives results, references and errors") {
  runtime loop;
  auto owner = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); };
  CHECK(*sync_wait(owner()) == 3);
  int variable = 0;
  auto refer = [&]() -> task<int&> { co_return variable; };
  int& reference = sync_wait(refer());
  CHECK(&reference == &variable);
  auto fail = []() -> task<> {
    throw std::runtime_error("failed");
    co_return;
  };
  CHECK_THROWS_WITH(sync_wait(fail()), "failed");
}

TEST_CASE("sync_wait inside a coroutine is refused and its operation never begins") {
  counted_check check;
  const leftovers before = leftovers::now();
  {
    runtime loop;
    bool ran = false;
    auto inner = [&](counted) -> task<> {
      ran = true;
      co_return;
    };
    auto outer = [&]() -> task<> {
      CHECK_THROWS_AS(sync_wait(inner(counted(1))), std::logic_error);
      CHECK_THROWS_AS(runtime::current().run(), std::logic_error);
      CHECK(counted::live == 0);
      co_await brood::sleep_for(1ms);
    };
    loop.run_until_complete(outer());
    CHECK_FALSE(ran);
  }
  CHECK(leftovers::now() == before);
}

TEST_CASE("sync_wait inside a posted function is refused") {
  runtime loop;
  bool refused = false;
  loop.run_until_complete([&]() -> task<> {
    brood::detail::local_event done;
    loop.post([&] {
      CHECK_THROWS_AS(sync_wait(brood::yield()), std::logic_error);
      refused = true;
      done.set();
    });
    co_await done.wait();
  }());
  CHECK(refused);
}
