// signal_watch: a signal to this process, as a callback on the loop thread.
#include "brood/runtime/signal_watch.hpp"

#include <csignal>
#include <memory>
#include <system_error>

#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/runtime.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::runtime;
using brood::signal_watch;
using brood::task;

TEST_CASE("a signal_watch constructed and never used restores the default action") {
  run_clean([]() -> task<> {
    struct sigaction during{};
    struct sigaction after{};
    {
      signal_watch unused(runtime::current(), SIGUSR1, [] {});
      sigaction(SIGUSR1, nullptr, &during);
    }
    sigaction(SIGUSR1, nullptr, &after);
    CHECK(during.sa_handler != SIG_DFL);
    CHECK(after.sa_handler == SIG_DFL);
    co_return;
  });
}

TEST_CASE("every watch of a signal is called") {
  run_clean([]() -> task<> {
    brood::detail::local_event both;
    int calls = 0;
    const auto count = [&] {
      if (++calls == 2) both.set();
    };
    signal_watch one(runtime::current(), SIGUSR1, count);
    signal_watch two(runtime::current(), SIGUSR1, count);
    signal_watch other(runtime::current(), SIGUSR2, [&] { calls += 100; });
    raise(SIGUSR1);
    CHECK(calls == 0);  // on the loop, not in the handler
    co_await both.wait();
    CHECK(calls == 2);
  });
}

TEST_CASE("a signal_watch may be destroyed in its own callback") {
  run_clean([]() -> task<> {
    brood::detail::local_event done;
    std::unique_ptr<signal_watch> watch;
    auto alive = std::make_shared<int>(1);
    watch = std::make_unique<signal_watch>(runtime::current(), SIGUSR1, [&, alive] {
      watch.reset();
      CHECK(*alive == 1);
      done.set();
    });
    raise(SIGUSR1);
    co_await done.wait();
    CHECK_FALSE(watch);
  });
}

TEST_CASE("a signal that cannot be watched is an error with the call's name") {
  run_clean([]() -> task<> {
    CHECK_THROWS_WITH(signal_watch(runtime::current(), SIGKILL, [] {}), contains_text("uv_signal_start"));
    co_return;
  });
}

TEST_CASE("a signal_watch does not keep the loop alive and may outlive the runtime") {
  const leftovers before = leftovers::now();
  {
    std::unique_ptr<signal_watch> watch;
    {
      runtime loop;
      watch = std::make_unique<signal_watch>(loop, SIGUSR1, [] {});
      loop.run();
    }
    struct sigaction after{};
    sigaction(SIGUSR1, nullptr, &after);
    CHECK(after.sa_handler == SIG_DFL);
  }
  CHECK(leftovers::now() == before);
}
