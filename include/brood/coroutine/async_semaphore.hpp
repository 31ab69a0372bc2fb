// async_semaphore: permits that coroutines of one loop take and give back.
#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <utility>

#include "brood/coroutine/detail/permits.hpp"

namespace brood {

/// Permits that are held. The destructor gives them back. Moves only.
class [[nodiscard]] async_permit {
 public:
  /// Holds nothing.
  async_permit() = default;

  /// Gives them back. Throws `std::logic_error` if this holds nothing.
  void release() {
    const std::size_t count = held_.count();
    held_.part().give(count);
  }
  /// They do not come back when this is destroyed, but when somebody calls `async_semaphore::release`. Throws
  /// `std::logic_error` if this holds nothing.
  void detach() { held_.part(); }
  std::size_t count() const noexcept { return held_.count(); }
  explicit operator bool() const noexcept { return held_.from() != nullptr; }

 private:
  template <class>
  friend class detail::acquire_permits;
  friend class async_semaphore;
  explicit async_permit(detail::held_permits held) noexcept : held_(std::move(held)) {}

  detail::held_permits held_;
};

/// `async_semaphore s{n};` lets n go on at a time. (`semaphore` is the one between processes.)
/// Fairness: strictly first come, first served; nobody passes one who waits for several permits. Neither taking, waiting
/// nor releasing allocates.
/// Thread: the one that uses it first; another one gets `wrong_thread`. Lifetime: must outlive its permits and waiters.
class async_semaphore {
 public:
  explicit async_semaphore(std::size_t permits = 1) noexcept : permits_(permits) {}

  /// Waits for `count` permits together; gives an `async_permit`. Awaited once.
  /// Cancellation: none is held, and nobody's turn is lost.
  [[nodiscard]] auto acquire(std::size_t count = 1) noexcept {
    return detail::acquire_permits<async_permit>(permits_, count);
  }
  /// Empty if there are not as many, or it is somebody else's turn.
  [[nodiscard]] std::optional<async_permit> try_acquire(std::size_t count = 1) {
    if (!permits_.try_take(count)) return std::nullopt;
    return async_permit(detail::held_permits(permits_, count));
  }
  /// So many more, which nobody needs to have held. Throws `std::overflow_error` beyond what can be counted.
  void release(std::size_t count = 1) {
    if (count > SIZE_MAX - permits_.free())
      throw std::overflow_error("brood::async_semaphore: too many permits");
    permits_.give(count);
  }
  /// Permits that are free at this moment.
  std::size_t value() const noexcept { return permits_.free(); }
  /// Coroutines that wait at this moment.
  std::size_t waiting() const noexcept { return permits_.waiting(); }

 private:
  detail::permits permits_;
};

}  // namespace brood
