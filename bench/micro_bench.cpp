// What happens within one thread, by Google Benchmark. Each benchmark bears the id under which run.py reports it, a peer
// or a limit the id and its own name after a slash.
#include <benchmark/benchmark.h>

#include <coroutine>
#include <exception>

#include "brood/coroutine/detail/task_group.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/task.hpp"

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

}  // namespace

BENCHMARK_MAIN();
