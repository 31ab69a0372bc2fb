// What happens within one thread, by Google Benchmark. Each benchmark bears the id under which run.py reports it, a peer
// or a limit the id and its own name after a slash.
#include <benchmark/benchmark.h>

#include <coroutine>
#include <exception>
#include <utility>
#include <vector>

#include "brood/coroutine/async_mutex.hpp"
#include "brood/coroutine/channel.hpp"
#include "brood/coroutine/detail/task_group.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/coroutine/oneshot.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/coroutine/when_all.hpp"

namespace {

/// An executor without a loop: runs what is ready until nothing is.
class bare_executor final : public brood::executor {
 public:
  void run(brood::task<> first, brood::task<> second) {
    const scope current(*this);
    brood::detail::task_group group(nullptr);
    group.start(std::move(first));
    group.start(std::move(second));
    while (group.running() > 0) run_ready(std::chrono::seconds(1));
  }

 private:
  void timers_changed() override {}
};

/// From one task to the other of two that yield in turn, through the ready queue.
void task_switch(benchmark::State& state) {
  bool done = false;
  const auto measured = [](benchmark::State& s, bool& ended) -> brood::task<> {
    while (s.KeepRunningBatch(2)) co_await brood::yield();
    ended = true;
  };
  const auto other = [](bool& ended) -> brood::task<> {
    while (!ended) co_await brood::yield();
  };
  bare_executor executor;
  executor.run(measured(state, done), other(done));
}
BENCHMARK(task_switch)->Name("task.switch");

/// The least a coroutine can cost: into it and out again, two switches, with nothing in between.
void bare_resume(benchmark::State& state) {
  struct endless {
    struct promise_type {
      endless get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
      std::suspend_always initial_suspend() const noexcept { return {}; }
      std::suspend_always final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
  };
  const auto body = []() -> endless {
    for (;;) co_await std::suspend_always();
  };
  const endless coroutine = body();
  std::coroutine_handle<> handle = coroutine.handle;
  while (state.KeepRunningBatch(2)) {
    benchmark::DoNotOptimize(handle);  // neither inlined nor elided
    handle.resume();
  }
  coroutine.handle.destroy();
}
BENCHMARK(bare_resume)->Name("task.switch/resume");

brood::task<> nothing() { co_return; }

/// To take and give back a mutex that nobody else wants.
void mutex_uncontended(benchmark::State& state) {
  const auto measured = [](benchmark::State& s) -> brood::task<> {
    brood::async_mutex mutex;
    for (auto _ : s) {
      const auto held = co_await mutex.acquire();
      benchmark::DoNotOptimize(&held);
    }
  };
  bare_executor executor;
  executor.run(measured(state), nothing());
}
BENCHMARK(mutex_uncontended)->Name("async_mutex.uncontended");

/// An item through a channel, from one task to another.
void channel_1p1c(benchmark::State& state) {
  const auto produce = [](benchmark::State& s, brood::channel<int>& items) -> brood::task<> {
    for (auto _ : s) co_await items.put(1);
    items.close();
  };
  const auto consume = [](brood::channel<int>& items) -> brood::task<> {
    while (const auto item = co_await items.next()) benchmark::DoNotOptimize(*item);
  };
  brood::channel<int> items(64);
  bare_executor executor;
  executor.run(produce(state, items), consume(items));
}
BENCHMARK(channel_1p1c)->Name("channel.1p1c");

/// A value that is set once and awaited, by one task.
void oneshot(benchmark::State& state) {
  const auto measured = [](benchmark::State& s) -> brood::task<> {
    for (auto _ : s) {
      brood::oneshot<int> value;
      value.set(1);
      benchmark::DoNotOptimize(co_await value.get());
    }
  };
  bare_executor executor;
  executor.run(measured(state), nothing());
}
BENCHMARK(oneshot)->Name("oneshot");

/// One of a thousand operations that are awaited together, each of which goes once through the ready queue.
void when_all_1000(benchmark::State& state) {
  constexpr std::size_t together = 1000;
  const auto measured = [](benchmark::State& s) -> brood::task<> {
    while (s.KeepRunningBatch(together)) {
      std::vector<brood::yield> operations(together);
      co_await brood::when_all(std::move(operations));
    }
  };
  bare_executor executor;
  executor.run(measured(state), nothing());
}
BENCHMARK(when_all_1000)->Name("when_all.1000");

}  // namespace

BENCHMARK_MAIN();
