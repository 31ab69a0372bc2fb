// An executor without a system below it: its clock jumps to the next timer as soon as nothing is ready.
#pragma once

#include <exception>
#include <optional>
#include <utility>

#include "brood/coroutine/detail/task_group.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/coroutine/task.hpp"
#include "catch.hpp"

class test_loop final : public brood::executor {
 public:
  brood::clock::time_point now = brood::clock::now();
  int timers_changed_calls = 0;

  /// Runs everything that is ready, without letting time pass.
  void settle() {
    while (has_ready()) run_ready(std::chrono::hours(1));
  }

  void advance(brood::clock::duration d) {
    now += d;
    post_due_timers(now);
    settle();
  }

  brood::clock::time_point next_timer() const noexcept { return executor::next_timer(); }

  /// Runs until `operation` has ended; time passes as needed. Nothing may be ready or waiting for time afterwards.
  template <class A>
  brood::detail::await_result_t<A> run(A operation) {
    using R = brood::detail::await_result_t<A>;
    std::optional<brood::detail::value_or_unit<R>> value;
    std::exception_ptr failure;
    brood::detail::task_group group(nullptr);
    group.start(keep<R>(std::move(operation), value, failure));
    for (settle(); group.running() > 0; settle()) {
      if (next_timer() == brood::clock::time_point::max()) {
        FAIL("everything waits and nothing will happen");
      }
      if (next_timer() > now) now = next_timer();
      post_due_timers(now);
    }
    CHECK(next_timer() == brood::clock::time_point::max());
    if (failure) std::rethrow_exception(failure);
    if constexpr (!std::is_void_v<R>) return std::move(*value);
  }

 private:
  template <class R, class A>
  static brood::task<> keep(A operation, std::optional<brood::detail::value_or_unit<R>>& value,
                            std::exception_ptr& failure) {
    try {
      value.emplace(co_await brood::detail::await_value<R>(std::move(operation)));
    } catch (...) {
      failure = std::current_exception();
    }
  }

  void timers_changed() override { ++timers_changed_calls; }

  scope current_{*this};
};

/// Runs the coroutine that `body()` makes on a loop of its own.
template <class Body>
decltype(auto) run_here(Body body) {
  test_loop loop;
  return loop.run(body());
}
