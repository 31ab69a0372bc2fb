// future<R>: the result of a call that runs in a pool meanwhile.
#pragma once

#include <chrono>
#include <memory>
#include <type_traits>
#include <utility>

#include "brood/coroutine/task.hpp"
#include "brood/pool/detail/call_job.hpp"

namespace brood {

/// What `pool::submit` gives. A small handle: copies name the same call. What a callback would do, a
/// coroutine does that awaits it: `n.start(report(f))` in a nursery. Lifetime: dropping it does not end the
/// call; its result is dropped then. The pool's end fails it with `closed`. Loop thread only.
template <class R = void>
class [[nodiscard]] future {
 public:
  explicit future(std::shared_ptr<detail::call_job<R>> call, std::weak_ptr<detail::scheduler> pool) noexcept
      : call_(std::move(call)), pool_(std::move(pool)) {}
  // No moves: what was moved from names its call still.
  future(const future&) = default;
  future& operator=(const future&) = default;

  /// Waits for the end; gives the result, or throws `remote_error`, `child_died`, `cancelled` after
  /// `cancel()`. Any number of coroutines, any number of times, if `R` can be copied; else the first gets it,
  /// and the others throw `std::logic_error`. Cancellation of the waiting: the call goes on.
  auto operator co_await() const { return detail::owned_task<R>(wait(call_)); }

  bool is_ready() const noexcept { return call_->ended().is_set(); }

  /// Gives the call up: it never begins, or if it runs it is asked to end, and its worker killed, with all it started, and
  /// replaced if it does not in time (`stop_within`); no other task is hit. Those who wait get `cancelled`, at once. False if it
  /// had ended already.
  bool cancel() const {
    const auto pool = pool_.lock();
    if (pool) pool->require_own_thread();
    if (call_->is_over()) return false;
    call_->fail(std::make_exception_ptr(cancelled()));
    if (pool) pool->cancel(*call_, true);
    return true;
  }

  // Before the first `co_await` that follows `submit`, as then the call may begin.

  /// Kills the call's worker and its whole process tree when it runs longer: `child_died`, whose status says
  /// so.
  template <class Rep, class Period>
  future&& deadline(std::chrono::duration<Rep, Period> d) && {
    call_->settings().deadline = detail::positive_time(d);
    return std::move(*this);
  }
  /// As `task_setters::soft_deadline` and `stop_within`.
  template <class Rep, class Period>
  future&& soft_deadline(std::chrono::duration<Rep, Period> d) && {
    call_->settings().soft_deadline = detail::positive_time(d);
    return std::move(*this);
  }
  template <class Rep, class Period>
  future&& stop_within(std::chrono::duration<Rep, Period> d) && {
    call_->settings().stop_limit = detail::saturating_ceil<std::chrono::nanoseconds>(d);
    return std::move(*this);
  }
  /// Calls it again, up to `n` times, if its worker dies.
  future&& retries(std::uint32_t n) && {
    call_->settings().retries = n;
    return std::move(*this);
  }

 private:
  static task<R> wait(std::shared_ptr<detail::call_job<R>> call) {
    co_await call->ended().wait();
    if constexpr (std::is_void_v<R>) {
      call->result().value();
    } else if constexpr (std::is_copy_constructible_v<R>) {
      co_return call->result().value();
    } else {
      auto& result = call->result();
      if (!result.has_value() && result.error() == nullptr) {
        throw std::logic_error("brood::future: a result that cannot be copied was awaited twice");
      }
      co_return std::exchange(result, {}).value();
    }
  }

  std::shared_ptr<detail::call_job<R>> call_;
  std::weak_ptr<detail::scheduler> pool_;
};

}  // namespace brood
