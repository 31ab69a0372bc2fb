// async_mutex: mutual exclusion between coroutines of one loop.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "brood/coroutine/detail/permits.hpp"

namespace brood {

/// An `async_mutex` that is held. The destructor releases it. Moves only.
class [[nodiscard]] async_mutex_guard {
 public:
  /// Holds nothing.
  async_mutex_guard() = default;

  /// Throws `std::logic_error` if this holds nothing.
  void release() { held_.part().give(1); }
  explicit operator bool() const noexcept { return held_.from() != nullptr; }

 private:
  template <class>
  friend class detail::acquire_permits;
  friend class async_mutex;
  friend class async_condition;
  explicit async_mutex_guard(detail::held_permits held) noexcept : held_(std::move(held)) {}

  detail::held_permits held_;
};

/// Held by one coroutine at a time; not recursive. For what must stay together over a `co_await`: between two of them
/// a coroutine is never interrupted and needs no mutex. (`lock` is the one between processes.)
/// Fairness: strictly first come, first served. Neither taking, waiting nor releasing allocates.
/// Thread: the one that uses it first; another one gets `wrong_thread`. Lifetime: must outlive its guards and waiters.
class async_mutex {
 public:
  using guard = async_mutex_guard;

  async_mutex() = default;

  /// Waits until the mutex is free; gives an `async_mutex_guard`. Awaited once.
  /// Cancellation: the mutex is not held, and nobody's turn is lost.
  [[nodiscard]] auto acquire() noexcept { return detail::acquire_permits<async_mutex_guard>(permit_, 1); }
  /// Empty if it is held.
  [[nodiscard]] std::optional<async_mutex_guard> try_acquire() {
    if (!permit_.try_take(1)) return std::nullopt;
    return async_mutex_guard(detail::held_permits(permit_, 1));
  }
  bool locked() const noexcept { return permit_.free() == 0; }
  /// Coroutines that wait at this moment.
  std::size_t waiting() const noexcept { return permit_.waiting(); }

 private:
  friend class async_condition;
  detail::permits permit_{1};
};

}  // namespace brood
