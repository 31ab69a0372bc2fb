// to_thread: code that blocks, on a thread of libuv's pool.
#pragma once

#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "brood/coroutine/async_event.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/shielded.hpp"
#include "brood/coroutine/detail/task_group.hpp"
#include "brood/export.hpp"

namespace brood {
namespace detail {

/// A call that libuv's pool makes. Lifetime: from `start` until `ended` is set it must stay.
class BROOD_API thread_call {
 public:
  thread_call(void (*run)(void*) noexcept, void* data);
  ~thread_call();
  thread_call(const thread_call&) = delete;
  thread_call& operator=(const thread_call&) = delete;

  /// Throws `std::system_error`.
  void start();
  /// Does nothing if it has begun. `ended` is set later in any case.
  void cancel() noexcept;
  /// False if it was cancelled before it began. To be asked once it has ended.
  bool has_run() const noexcept { return has_run_; }

  async_event ended;

 private:
  struct request;
  void (*run_)(void*) noexcept;
  void* data_;
  std::unique_ptr<request> request_;
  bool has_run_ = false;
};

template <class F>
task<std::invoke_result_t<F&>> run_in_thread(F function) {
  using R = std::invoke_result_t<F&>;
  const brood::stop_token token = co_await this_task::stop_token();
  if (token.stop_requested()) throw cancelled();

  struct call {
    F& function;
    std::optional<value_or_unit<R>> value;
    std::exception_ptr failure;
    void run() noexcept {
      try {
        if constexpr (std::is_void_v<R>) {
          function();
        } else {
          value.emplace(function());
        }
      } catch (...) {
        failure = std::current_exception();
      }
    }
  };
  call made{function, std::nullopt, nullptr};
  thread_call thread([](void* data) noexcept { static_cast<call*>(data)->run(); }, &made);
  thread.start();
  {
    const auto stop = [&]() noexcept { thread.cancel(); };
    const stop_callback on_stop(token, stop);
    shielded end(thread.ended.wait());
    co_await end;
  }
  if (!thread.has_run()) throw cancelled();
  if (made.failure) std::rethrow_exception(made.failure);
  if constexpr (!std::is_void_v<R>) co_return std::move(*made.value);
}

}  // namespace detail

/// Runs `function()` on a thread of libuv's pool and gives its result, or throws what it threw. For calls that block and
/// know nothing of the loop: what they touch, nobody else may touch meanwhile, and nothing of this library is awaited
/// there. The pool has four threads, or as many as UV_THREADPOOL_SIZE says, for the whole process.
/// Cancellation: what has not begun never does, and ends with `cancelled`; what has begun cannot be stopped: it is
/// awaited, and its result given. Throws `std::system_error`. Lifetime: owns `function`.
template <class F>
  requires std::invocable<std::decay_t<F>&>
[[nodiscard]] auto to_thread(F&& function) {
  detail::require_safe_function<F>();
  return detail::run_in_thread<std::decay_t<F>>(std::forward<F>(function));
}

}  // namespace brood
