// task<T>: a lazy coroutine that gives one T.
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>
#include <variant>

#include "brood/coroutine/detail/awaitable.hpp"
#include "brood/coroutine/detail/scope.hpp"

namespace brood {

template <class T>
class task;

namespace detail {

struct task_promise_base {
  std::coroutine_handle<> continuation;
  task_scope* scope = nullptr;

  struct final_awaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
      return h.promise().continuation;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  final_awaiter final_suspend() const noexcept { return {}; }
};

template <class T>
struct task_promise : task_promise_base {
  static_assert(!std::is_rvalue_reference_v<T>, "a task gives a value, an lvalue reference or nothing");
  using stored = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>;
  std::variant<std::monostate, stored, std::exception_ptr> result;

  task<T> get_return_object() noexcept;
  void unhandled_exception() noexcept { result.template emplace<2>(std::current_exception()); }

  template <class U = T>
    requires std::convertible_to<U&&, T>
  void return_value(U&& value) {
    if constexpr (std::is_reference_v<T>) {
      T referred = std::forward<U>(value);
      result.template emplace<1>(std::addressof(referred));
    } else {
      result.template emplace<1>(std::forward<U>(value));
    }
  }

  T take() {
    if (auto* failure = std::get_if<2>(&result)) std::rethrow_exception(std::move(*failure));
    if constexpr (std::is_reference_v<T>) {
      return *std::get<1>(result);
    } else {
      return std::move(std::get<1>(result));
    }
  }
};

template <>
struct task_promise<void> : task_promise_base {
  std::exception_ptr failure;

  task<void> get_return_object() noexcept;
  void unhandled_exception() noexcept { failure = std::current_exception(); }
  void return_void() const noexcept {}
  void take() {
    if (failure) std::rethrow_exception(std::move(failure));
  }
};

}  // namespace detail

/// A coroutine that begins when it is awaited and gives one `T` (a value, an lvalue reference or nothing) or
/// throws what its body threw. Awaited once, as an rvalue.
/// Cancellation: inherits its awaiter's stop token; what its body awaits ends with `cancelled`.
/// Lifetime: owns the coroutine. Destroying a task that never began, or has ended, frees it; one that is suspended
/// must not be destroyed (scopes such as `with_nursery` and `with_timeout` await what they start, so they never do).
template <class T = void>
class [[nodiscard("a task does nothing until it is awaited")]] task {
 public:
  using promise_type = detail::task_promise<T>;

  task(task&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    task taken(std::move(other));
    std::swap(frame_, taken.frame_);
    return *this;
  }
  ~task() {
    if (frame_) frame_.destroy();
  }

  /// Throws `std::logic_error` for a task that was moved from, or that has ended already.
  auto operator co_await() && { return awaiter(frame()); }

  /// Runs the task in `scope` instead of its awaiter's. For the scopes of this library. Throws as `co_await` does.
  void set_scope(detail::task_scope& scope) { frame().promise().scope = &scope; }

 private:
  friend promise_type;
  using handle = std::coroutine_handle<promise_type>;

  struct awaiter {
    handle frame;
    explicit awaiter(handle h) noexcept : frame(h) {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
      frame.promise().continuation = h;
      if (frame.promise().scope == nullptr) frame.promise().scope = detail::scope_of(h);
      return frame;
    }
    T await_resume() const { return frame.promise().take(); }
  };

  explicit task(handle frame) noexcept : frame_(frame) {}

  handle frame() const {
    if (!frame_) throw std::logic_error("brood: a task that was moved from is not this one's to await");
    if (frame_.done()) throw std::logic_error("brood: a task is awaited once, and this one has ended");
    return frame_;
  }

  handle frame_;
};

namespace detail {

template <class T>
task<T> task_promise<T>::get_return_object() noexcept {
  return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}
inline task<void> task_promise<void>::get_return_object() noexcept {
  return task<void>(std::coroutine_handle<task_promise>::from_promise(*this));
}

template <class T>
task<T> as_task(task<T> t) {
  return t;
}

/// Awaits a task that it owns: what the `operator co_await` of a fluent operation gives.
template <class T>
class owned_task {
 public:
  explicit owned_task(task<T> body) : body_(std::move(body)), inner_(std::move(body_).operator co_await()) {}
  owned_task(const owned_task&) = delete;
  owned_task& operator=(const owned_task&) = delete;
  bool await_ready() const noexcept { return inner_.await_ready(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> h) noexcept {
    return inner_.await_suspend(h);
  }
  T await_resume() { return inner_.await_resume(); }

 private:
  task<T> body_;
  decltype(std::declval<task<T>>().operator co_await()) inner_;
};

/// Any awaitable as a task, so that it can be given a scope.
template <awaitable A>
task<await_result_t<A>> as_task(A a) {
  co_return co_await std::move(a);
}

}  // namespace detail
}  // namespace brood
