// runtime on the uv_loop_t of a host application: it runs as the host runs the loop, and leaves nothing in it.
#include <uv.h>

#include <stdexcept>
#include <thread>

#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/runtime/stream.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "counted.hpp"
#include "leftovers.hpp"

#include <fcntl.h>
#include <unistd.h>

using namespace std::chrono_literals;
using brood::runtime;
using brood::task;

namespace {

/// The host's loop; closing it proves that nothing is left in it.
struct host {
  host() { REQUIRE(uv_loop_init(&loop) == 0); }
  ~host() {
    CHECK(handles() == 0);
    CHECK(uv_loop_close(&loop) == 0);
  }
  int handles() {
    int count = 0;
    uv_walk(&loop, [](uv_handle_t*, void* n) { ++*static_cast<int*>(n); }, &count);
    return count;
  }
  uv_loop_t loop;
};

}  // namespace

TEST_CASE("a runtime constructed and never used leaves nothing in the host's loop") {
  const leftovers before = leftovers::now();
  {
    host application;
    {
      runtime unused(&application.loop);
      CHECK(unused.loop() == &application.loop);
      CHECK(application.handles() > 0);
    }
    CHECK(application.handles() == 0);
  }
  CHECK(leftovers::now() == before);
}

TEST_CASE("tasks run as the host runs its loop, which ends when they have") {
  host application;
  runtime brood_part(&application.loop);
  int ended = 0;
  auto work = [&]() -> task<> {
    co_await brood::sleep_for(2ms);
    co_await brood::yield();
    ++ended;
  };
  uv_run(&application.loop, UV_RUN_DEFAULT);  // nothing keeps it alive
  for (int round = 1; round <= 3; ++round) {
    brood_part.start(work());
    brood_part.start(work());
    CHECK(ended == 2 * round - 2);
    uv_run(&application.loop, UV_RUN_DEFAULT);
    CHECK(ended == 2 * round);
  }
}

TEST_CASE("the host's own handles go on beside the tasks") {
  host application;
  {
    runtime brood_part(&application.loop);
    uv_timer_t timer;
    uv_timer_init(&application.loop, &timer);
    brood::detail::local_event event;
    timer.data = &event;
    uv_timer_start(
        &timer, [](uv_timer_t* t) { static_cast<brood::detail::local_event*>(t->data)->set(); }, 1, 0);
    bool ended = false;
    auto work = [&]() -> task<> {
      co_await event.wait();
      ended = true;
    };
    brood_part.start(work());
    uv_run(&application.loop, UV_RUN_DEFAULT);
    CHECK(ended);
    uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
    uv_run(&application.loop, UV_RUN_DEFAULT);
  }
}

TEST_CASE("the destructor drives the host's loop until every task has ended") {
  counted_check check;
  host application;
  int cancelled_count = 0;
  auto work = [&]() -> task<> {
    counted here;
    try {
      co_await brood::sleep_for(1h);
    } catch (const brood::cancelled&) {
      ++cancelled_count;
      throw;
    }
  };
  {
    runtime brood_part(&application.loop);
    brood_part.start(work(), [](std::exception_ptr) {});
    uv_run(&application.loop, UV_RUN_NOWAIT);
    brood_part.start(work(), [](std::exception_ptr) {});
  }
  CHECK(cancelled_count == 2);
}

TEST_CASE("a host's thread may post while the loop sleeps") {
  host application;
  runtime brood_part(&application.loop);
  bool ended = false;
  brood::detail::local_event event;
  auto work = [&]() -> task<> {
    co_await event.wait();
    ended = true;
  };
  brood_part.start(work());
  std::thread poster([&] { brood_part.post([&] { event.set(); }); });
  uv_run(&application.loop, UV_RUN_DEFAULT);
  poster.join();
  CHECK(ended);
}

TEST_CASE("waiting inside a coroutine that the host's loop runs is refused, and nothing of it runs") {
  host application;
  runtime brood_part(&application.loop);
  bool refused = false;
  bool ran = false;
  auto inner = [&]() -> task<> {
    ran = true;
    co_return;
  };
  auto work = [&]() -> task<> {
    CHECK_THROWS_AS(brood::sync_wait(inner()), std::logic_error);
    CHECK_THROWS_AS(brood_part.run(), std::logic_error);
    refused = true;
    co_await brood::yield();
  };
  brood_part.start(work());
  uv_run(&application.loop, UV_RUN_DEFAULT);
  CHECK(refused);
  CHECK_FALSE(ran);
  brood::sync_wait(inner());  // between two turns of the loop it may
  CHECK(ran);
}

TEST_CASE("a cancelled read does not keep the host's loop alive") {
  host application;
  {
    runtime brood_part(&application.loop);
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    brood::unique_fd write_end(ends[1]);
    brood::reader input{brood::unique_fd(ends[0])};
    bool timed_out = false;
    auto work = [&]() -> task<> {
      CHECK_THROWS_AS(co_await brood::with_timeout(1ms, input.read()), brood::timed_out);
      timed_out = true;
    };
    brood_part.start(work());
    uv_run(&application.loop, UV_RUN_DEFAULT);
    CHECK(timed_out);
    input.close();
  }
}

TEST_CASE("what watches a descriptor may outlive the runtime") {
  host application;
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  brood::unique_fd read_end(ends[0]);
  brood::unique_fd write_end(ends[1]);
  std::unique_ptr<brood::fd_watch> watch;
  {
    runtime brood_part(&application.loop);
    watch = std::make_unique<brood::fd_watch>(brood_part, read_end.get(), [](int) {});
    watch->watch(brood::fd_watch::readable);
  }
  CHECK(application.handles() == 0);
  CHECK_THROWS_AS(watch->watch(brood::fd_watch::readable), std::logic_error);
  watch->watch(0);
}
