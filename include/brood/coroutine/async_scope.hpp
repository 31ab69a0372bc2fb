// async_scope: a nursery for those who cannot nest, such as a member of a server that starts a task for each client.
#pragma once

#include <exception>
#include <utility>

#include "brood/coroutine/detail/forked.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/task.hpp"

namespace brood {

/// Prefer `with_nursery`, which cannot be left without a join. Loop thread only.
/// Lifetime: `join` must have been awaited before it is destroyed; where something still runs then, the process is
/// terminated, as the tasks would go on with references to nothing. (Not in a fork, where nothing goes on.)
class async_scope {
 public:
  async_scope() noexcept : tasks_(nullptr) {}
  ~async_scope() {
    if (tasks_.group_.running() > 0 && !detail::forked) std::terminate();
  }

  /// Runs `operation` beside everything else; its result, if it has one, is dropped. The first error asks all of them to
  /// stop and is thrown by `join`. Throws `wrong_thread` on another thread than the loop's.
  template <detail::awaitable A>
  void start(A operation) {
    tasks_.start(std::move(operation));
  }
  /// Asks everything in the scope to stop, also what is started later. The ends that follow from it are no errors.
  void cancel() noexcept { tasks_.cancel(); }
  std::size_t running() const noexcept { return tasks_.running(); }

  /// Waits until everything has ended; throws the first error, each time. More may be started meanwhile, and is awaited.
  /// Cancellation: cancels what is in the scope, awaits it, then throws `cancelled`.
  [[nodiscard]] task<> join() { return join_all(*this); }

 private:
  static task<> join_all(async_scope& scope) {
    const stop_token token = co_await this_task::stop_token();
    {
      const auto cancel_all = [&]() noexcept { scope.cancel(); };
      const stop_callback on_stop(token, cancel_all);
      co_await scope.tasks_.group_.join();
    }
    if (scope.tasks_.failure_) std::rethrow_exception(scope.tasks_.failure_);
    if (token.stop_requested()) throw cancelled();
  }

  nursery tasks_;
};

}  // namespace brood
