// ticker: points in time at equal distances.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>

#include "brood/coroutine/sleep.hpp"

namespace brood {

/// Ticks every `period`, the first time one period from now; what happens between two `next` delays none of the later
/// ticks. Loop thread only. One coroutine at a time.
class ticker {
 public:
  /// Throws `std::invalid_argument` unless the period is longer than nothing.
  template <class Rep, class Period>
  explicit ticker(std::chrono::duration<Rep, Period> period)
      : period_(detail::saturating_ceil<clock::duration>(period)), due_(detail::time_after(period)) {
    if (period_ <= period_.zero())
      throw std::invalid_argument("brood::ticker: a period of nothing never ends");
  }

  /// Waits for the next tick, at once if one has passed; gives how many have passed since the last call: more than 1 if
  /// the caller or the loop were late. Cancellation: no tick is lost. Lifetime: the ticker must outlive it.
  [[nodiscard]] auto next() noexcept { return operation(*this); }

 private:
  class waiter : public detail::sleep_awaiter {
   public:
    explicit waiter(ticker& of) noexcept : sleep_awaiter(of.due_), ticker_(of) {}
    std::uint64_t await_resume() {
      take();
      return ticker_.passed(clock::now());
    }

   private:
    ticker& ticker_;
  };

  struct operation {
    explicit operation(ticker& t) noexcept : of(t) {}
    waiter operator co_await() const noexcept { return waiter(of); }
    ticker& of;
  };

  std::uint64_t passed(clock::time_point now) noexcept {
    const auto late = now > due_ ? static_cast<std::uint64_t>((now - due_) / period_) : 0;
    due_ = detail::time_after(due_ + static_cast<clock::rep>(late) * period_, period_);
    return late + 1;
  }

  clock::duration period_;
  clock::time_point due_;
};

}  // namespace brood
