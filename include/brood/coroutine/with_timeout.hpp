// with_timeout: an operation that may take only so long.
#pragma once

#include <chrono>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/task.hpp"

namespace brood {
namespace detail {

/// Asks a scope to stop when its time has come.
class scope_timer : timer_node {
 public:
  scope_timer(clock::time_point when, linked_scope& scope) : loop_(executor::current()), scope_(scope) {
    due = when;
    run = [](ready_node& node) noexcept {
      auto& self = static_cast<scope_timer&>(static_cast<timer_node&>(node));
      self.fired_ = true;
      self.scope_.request_stop();
    };
    loop_.start_timer(*this);
  }
  ~scope_timer() { loop_.stop_timer(*this); }
  scope_timer(const scope_timer&) = delete;
  scope_timer& operator=(const scope_timer&) = delete;

  bool fired() const noexcept { return fired_; }

 private:
  executor& loop_;
  linked_scope& scope_;
  bool fired_ = false;
};

/// Whether what cancels the awaiter cancels the operation too.
enum class outer_scope : bool { none, awaiters };

template <class A>
task<await_result_t<A>> run_until(clock::time_point when, A operation,
                                  outer_scope cancels = outer_scope::awaiters) {
  task_scope* outer = cancels == outer_scope::awaiters ? co_await current_scope() : nullptr;
  linked_scope scope(outer);
  scope_timer timer(when, scope);
  co_await enter_scope(scope);
  try {
    co_return co_await std::move(operation);
  } catch (const cancelled&) {
    const bool cancelled_from_outside = outer != nullptr && outer->token.stop_requested();
    if (!timer.fired() || cancelled_from_outside) throw;
  }
  throw timed_out();
}

}  // namespace detail

/// Awaits `operation`; after `limit`, counted from this call, cancels it, awaits its end and throws `timed_out`.
/// An operation that has completed all the same gives its result: nothing is lost. With a limit of zero or less the
/// operation gets one try without waiting.
/// Cancellation: cancels the operation. Lifetime: owns it.
template <class Rep, class Period, class A>
  requires detail::awaitable<std::decay_t<A>>
auto with_timeout(std::chrono::duration<Rep, Period> limit, A&& operation) {
  detail::require_safe_temporary<A>();
  return detail::run_until(detail::time_after(limit), std::forward<A>(operation));
}

}  // namespace brood
