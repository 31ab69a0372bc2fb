// sleep_for, sleep_until, yield: waiting for time, and letting others run.
#pragma once

#include <chrono>

#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/coroutine/detail/suspension.hpp"

namespace brood {
namespace detail {

class sleep_awaiter : public suspension<sleep_awaiter, timer_node> {
 public:
  explicit sleep_awaiter(clock::time_point when) noexcept { due = when; }
  bool await_ready() const noexcept { return false; }
  void await_resume() { take(); }
  void start() { loop().start_timer(*this); }
  void abandon() noexcept { loop().stop_timer(*this); }
};

class yield_awaiter : public suspension<yield_awaiter> {
 public:
  yield_awaiter() = default;
  bool await_ready() const noexcept { return false; }
  void await_resume() { take(); }
  void start() noexcept { complete(); }
  void abandon() noexcept {}
  bool give_back() noexcept { return true; }
};

}  // namespace detail

/// Waits until `when`, a time point of any unit, never less; the loop's timers have a resolution of 1 ms.
/// Cancellation: ends at once with `cancelled`.
struct [[nodiscard]] sleep_until {
  template <class Duration>
  explicit sleep_until(std::chrono::time_point<clock, Duration> when) noexcept
      : when_(detail::saturating_time_point(when)) {}
  detail::sleep_awaiter operator co_await() const noexcept { return detail::sleep_awaiter(when_); }

 private:
  clock::time_point when_;
};

/// Waits for `d`, counted from this call; what is too long for the clock is for ever. As `sleep_until`.
template <class Rep, class Period>
sleep_until sleep_for(std::chrono::duration<Rep, Period> d) {
  return sleep_until(detail::time_after(d));
}

/// Lets everything that is ready run once before this coroutine goes on.
/// Cancellation: throws `cancelled` if the task has been asked to stop.
struct [[nodiscard]] yield {
  detail::yield_awaiter operator co_await() const { return detail::yield_awaiter(); }
};

}  // namespace brood
