// A nursery: a scope that tasks and children are started in and that none of them outlives.
// After N. J. Smith, "Notes on structured concurrency, or: Go statement considered harmful" (2018).
#pragma once

#include <optional>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/task_group.hpp"
#include "brood/coroutine/error.hpp"

namespace brood {

class nursery;
class async_scope;

namespace detail {
template <class Body>
using nursery_result_t = await_result_t<std::invoke_result_t<Body&, nursery&>>;
template <class Body>
task<nursery_result_t<Body>> run_nursery(Body body);
}  // namespace detail

/// Given to the body of `with_nursery`; see there. Loop thread only.
/// Lifetime: valid until `with_nursery` returns; tasks in it may start more.
class nursery {
 public:
  nursery(const nursery&) = delete;
  nursery& operator=(const nursery&) = delete;

  /// Runs `operation` beside the body; its result, if it has one, is dropped. If it throws, the whole nursery is
  /// cancelled and its error leaves `with_nursery`.
  template <detail::awaitable A>
  void start(A operation) {
    group_.start(std::move(operation), dropped(*this));
  }

  /// `co_await n.spawn<f>(args...)`: starts a child process in this scope; see `brood::spawn`, whose setters it has.
  /// (Defined with the processes, two storeys up.)
  template <auto Function, class... Arguments>
  auto spawn(Arguments&&... arguments);

  /// `co_await n.spawn(command(...))`: the same for a program; see `command::spawn_in`.
  template <class Command>
    requires requires(Command what, nursery& scope) { std::move(what).spawn_in(scope); }
  auto spawn(Command what) {
    return std::move(what).spawn_in(*this);
  }

  /// Asks everything in the nursery to stop, the body too. The ends that follow from it are not errors; only if the
  /// body was to give a result and ended without, `with_nursery` throws `cancelled`.
  void cancel() noexcept { group_.request_stop(); }

  /// How many tasks are running beside the body.
  std::size_t running() const noexcept { return group_.running() - (body_runs_ ? 1 : 0); }

 private:
  template <class Body>
  friend task<detail::nursery_result_t<Body>> detail::run_nursery(Body body);

  friend class async_scope;
  explicit nursery(detail::task_scope* outer) : outer_(outer), group_(outer) {}

  /// What comes of an operation beside the body.
  class dropped {
   public:
    explicit dropped(nursery& self) noexcept : self_(self) {}
    static constexpr bool wanted() noexcept { return true; }
    template <class V>
    static void value(V&&) noexcept {}
    void failure(std::exception_ptr why) noexcept { self_.fail(std::move(why)); }

   private:
    nursery& self_;
  };

  /// What comes of the body.
  template <class R>
  class kept {
   public:
    kept(nursery& self, std::optional<detail::value_or_unit<R>>& result) noexcept
        : self_(self), result_(result) {}
    static constexpr bool wanted() noexcept { return true; }
    template <class V>
    void value(V&& result) {
      result_.emplace(std::forward<V>(result));
      self_.body_runs_ = false;
    }
    void failure(std::exception_ptr why) noexcept {
      self_.body_runs_ = false;
      self_.fail(std::move(why));
    }

   private:
    nursery& self_;
    std::optional<detail::value_or_unit<R>>& result_;
  };

  void fail(std::exception_ptr failure) noexcept {
    if (failure_ || (stopping() && is_cancelled(failure))) return;
    failure_ = std::move(failure);
    group_.request_stop();
  }

  static bool is_cancelled(const std::exception_ptr& failure) noexcept {
    try {
      std::rethrow_exception(failure);
    } catch (const cancelled&) {
      return true;
    } catch (...) {
      return false;
    }
  }

  bool stopping() const noexcept { return group_.scope().token.stop_requested(); }

  detail::task_scope* outer_;
  detail::task_group group_;
  std::exception_ptr failure_;
  bool body_runs_ = false;
};

namespace detail {

/// A coroutine, so that a body that is a plain function runs, and throws, where one that is a coroutine does.
template <class Body>
task<nursery_result_t<Body>> call_body(nursery& scope, Body& body) {
  co_return co_await body(scope);
}

template <class Body>
task<nursery_result_t<Body>> run_nursery(Body body) {
  using R = nursery_result_t<Body>;
  nursery scope(co_await current_scope());
  std::optional<value_or_unit<R>> result;
  scope.body_runs_ = true;
  scope.group_.start(call_body(scope, body), nursery::kept<R>(scope, result));
  co_await scope.group_.join();
  if (scope.failure_) std::rethrow_exception(scope.failure_);
  const bool cancelled_from_outside = scope.outer_ != nullptr && scope.outer_->token.stop_requested();
  if (cancelled_from_outside) throw cancelled();
  if constexpr (!std::is_void_v<R>) {
    if (!result) throw cancelled();
    co_return std::move(*result);
  }
}

}  // namespace detail

/// Runs `body`, a `task<R>(nursery&)`, and gives its result once it and everything started in the nursery has ended.
/// The first error, of the body or of anything in the nursery, cancels all the rest and is rethrown when the last of
/// them has ended. Children that are cancelled are asked to stop, killed if they do not in time (`stop_within`), and always
/// reaped.
/// Cancellation: cancels the body and everything in the nursery, awaits them, then throws `cancelled`.
/// Lifetime: owns the body, so a lambda's captures live until everything has ended.
template <class Body>
  requires std::invocable<std::decay_t<Body>&, nursery&>
auto with_nursery(Body&& body) {
  detail::require_safe_function<Body>();
  return detail::run_nursery<std::decay_t<Body>>(std::forward<Body>(body));
}

}  // namespace brood
