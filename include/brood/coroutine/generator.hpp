// generator<T>: a coroutine that gives many values and may await between them.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/scope.hpp"

namespace brood {

namespace detail {
/// What a generator of the library `co_yield`s so that `next()` throws, and the `next()` after it goes on.
struct passing_exception {
  explicit passing_exception(std::exception_ptr thrown) noexcept : why(std::move(thrown)) {}
  std::exception_ptr why;
};
}  // namespace detail

/// `co_yield`s values of `T`; consumed with `while (auto value = co_await g.next())`.
/// Runs only while its consumer waits in `next()`, one value at a time.
/// Cancellation: inherits the stop token of whoever awaits `next()`; a generator whose body has thrown is at its end.
/// Lifetime: owns the coroutine; destroying it between two values drops the rest. It must not be destroyed while a
/// `next()` is being awaited.
template <class T>
class [[nodiscard]] generator {
 public:
  struct promise_type;

  generator(generator&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  generator& operator=(generator&& other) noexcept {
    generator taken(std::move(other));
    std::swap(frame_, taken.frame_);
    return *this;
  }
  ~generator() {
    if (frame_) frame_.destroy();
  }

  /// The next value, or nothing at the end. Throws what the body threw.
  auto next() noexcept { return next_awaiter{frame_}; }

 private:
  using handle = std::coroutine_handle<promise_type>;

  struct next_awaiter {
    handle frame;
    bool await_ready() const noexcept { return !frame || frame.done(); }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
      frame.promise().consumer = h;
      frame.promise().scope = detail::scope_of(h);
      return frame;
    }
    std::optional<T> await_resume() const {
      if (!frame) return std::nullopt;
      auto& promise = frame.promise();
      if (promise.failure) std::rethrow_exception(std::exchange(promise.failure, nullptr));
      return std::exchange(promise.value, std::nullopt);
    }
  };

  explicit generator(handle frame) noexcept : frame_(frame) {}

  handle frame_;
};

template <class T>
struct generator<T>::promise_type {
  struct to_consumer {
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(handle h) const noexcept { return h.promise().consumer; }
    void await_resume() const noexcept {}
  };

  std::coroutine_handle<> consumer;
  detail::task_scope* scope = nullptr;
  std::optional<T> value;
  std::exception_ptr failure;

  generator get_return_object() noexcept { return generator(handle::from_promise(*this)); }
  std::suspend_always initial_suspend() const noexcept { return {}; }
  to_consumer final_suspend() const noexcept { return {}; }
  template <std::convertible_to<T> U>
  to_consumer yield_value(U&& v) {
    detail::require_safe_temporary<U>();
    value.emplace(std::forward<U>(v));
    return {};
  }
  to_consumer yield_value(detail::passing_exception& thrown) noexcept {
    failure = std::move(thrown.why);
    return {};
  }
  void unhandled_exception() noexcept { failure = std::current_exception(); }
  void return_void() const noexcept {}
};

}  // namespace brood
