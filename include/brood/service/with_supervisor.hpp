// with_supervisor: a scope whose services start in order, start again when they end, and stop in reverse order.
//
//   co_await with_supervisor(strategy::rest_for_one, [](supervisor& s) -> task<> {
//     auto db = co_await s.run(command("redis-server", "--supervised", "systemd")).ready_when(readiness::notified);
//     auto web = co_await s.run<serve>(8080).watchdog(5s);
//     co_await s.join();
//   });
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "brood/coroutine/async_event.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/task_group.hpp"
#include "brood/export.hpp"
#include "brood/process/command.hpp"
#include "brood/process/launch.hpp"
#include "brood/service/detail/service_body.hpp"
#include "brood/service/policy.hpp"
#include "brood/service/service.hpp"
#include "brood/service/service_setters.hpp"

namespace brood {

class supervisor;

namespace detail {

BROOD_API std::shared_ptr<service_group> open_group(strategy how, restart_intensity limit);
/// Asks `scope` to stop when the group gives up.
BROOD_API void stop_with(service_group& group, linked_scope* scope) noexcept;
BROOD_API task<> close_group(std::shared_ptr<service_group> group);
BROOD_API void throw_if_given_up(const service_group& group);
BROOD_API task<std::shared_ptr<service_record>> run_service(std::shared_ptr<service_group> group,
                                                            service_spec spec);

template <class Body>
using supervised_result_t = await_result_t<std::invoke_result_t<Body&, brood::supervisor&>>;

}  // namespace detail

/// What `supervisor::run` gives for programs and coroutines: set what is to be set, then `co_await` it. Nothing happens before.
template <class R>
class [[nodiscard("no service is started until this is awaited")]] service_operation
    : public service_setters<service_operation<R>> {
 public:
  static constexpr bool gets_sockets = std::same_as<R, exit_status>;

  service_operation(std::shared_ptr<detail::service_group> group, std::shared_ptr<detail::service_body> body)
      : group_(std::move(group)) {
    this->spec_.body = std::move(body);
  }

  auto operator co_await() && {
    once_.spend();
    return detail::owned_task<service<R>>(start(std::move(group_), std::move(this->spec_)));
  }

 private:
  static task<service<R>> start(std::shared_ptr<detail::service_group> group, detail::service_spec spec) {
    co_return service<R>(co_await detail::run_service(std::move(group), std::move(spec)));
  }

  std::shared_ptr<detail::service_group> group_;
  detail::await_once once_;
};

/// The same for functions, with the setters of `spawn`, which count for each instance.
template <class R>
class [[nodiscard("no service is started until this is awaited")]] function_service_operation
    : public launch_setters<function_service_operation<R>, detail::functions>,
      public service_setters<function_service_operation<R>> {
 public:
  using service_setters<function_service_operation<R>>::name;
  using service_setters<function_service_operation<R>>::stop_within;
  static constexpr bool gets_sockets = true;

  function_service_operation(std::shared_ptr<detail::service_group> group, detail::service_call call)
      : group_(std::move(group)), call_(std::move(call)) {}

  auto operator co_await() && {
    once_.spend();
    this->spec_.body = detail::function_body(std::move(this->plan_), std::move(call_));
    return detail::owned_task<service<R>>(start(std::move(group_), std::move(this->spec_)));
  }

 private:
  static task<service<R>> start(std::shared_ptr<detail::service_group> group, detail::service_spec spec) {
    co_return service<R>(co_await detail::run_service(std::move(group), std::move(spec)));
  }

  std::shared_ptr<detail::service_group> group_;
  detail::service_call call_;
  detail::await_once once_;
};

/// Given to the body of `with_supervisor`; see there. Loop thread only. Lifetime: valid until `with_supervisor` returns.
class BROOD_API supervisor {
 public:
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;

  /// Each gives, when awaited, a `service` that is ready. It starts when those before it are ready, see `strategy`. A service that
  /// cannot be started at all the first time, or that ends for good before it is ready, throws why.
  /// Cancellation: it is stopped and forgotten.
  ///
  /// A function in a child process, with copies of `arguments`, which the supervisor keeps for the next instances together
  /// with the shared objects that they name.
  template <auto Function, class... Arguments>
  auto run(Arguments&&... arguments) {
    detail::require_safe_temporary<Arguments...>();
    return function_service_operation<typename detail::child_function<Function>::result>(
        group_, detail::make_service_call<Function>(std::forward<Arguments>(arguments)...));
  }
  /// A program. Descriptors given to it must stay open as long as the service may start.
  service_operation<exit_status> run(command program) {
    return {group_, detail::program_body(std::move(program))};
  }
  /// A coroutine of this process: `make()` gives a `task<>` for each instance. It is cancelled to be stopped, and cannot be killed.
  template <class Make>
    requires std::invocable<std::decay_t<Make>&>
  service_operation<void> run(Make&& make) {
    detail::require_safe_function<Make>();
    auto body = [made = std::decay_t<Make>(std::forward<Make>(make))](std::function<void()> ready) mutable {
      ready();
      return made();
    };
    return {group_, detail::coroutine_body(std::move(body))};
  }
  /// A supervisor below this one. It is ready when `body`, a `task<>(supervisor&)`, has returned, and lives on until it is
  /// stopped or gives up: that is the end of one of this one's services, which starts again as any other.
  template <class Body>
    requires std::invocable<std::decay_t<Body>&, supervisor&>
  service_operation<void> supervise(strategy how, Body&& body, restart_intensity limit = {});

  /// Waits until no service runs or is to run: all have ended for good or were stopped. Cancellation: they run on.
  task<> join() const;
  /// Those that have not been removed, in the order of their start.
  std::vector<service_handle> services() const;
  /// Stops a service and forgets it. Cancellation: that happens all the same.
  task<> remove(service_handle which) const;

 private:
  template <class Body>
  friend task<detail::supervised_result_t<Body>> supervise_body(strategy how, Body body,
                                                                restart_intensity limit);

  explicit supervisor(std::shared_ptr<detail::service_group> group) noexcept : group_(std::move(group)) {}

  std::shared_ptr<detail::service_group> group_;
};

namespace detail {

/// Runs the body in a scope of its own, so that a supervisor that gives up can stop it. It throws nothing.
template <class Body, class R = supervised_result_t<Body>>
task<> run_supervised(linked_scope& scope, Body& body, brood::supervisor& s,
                      std::optional<value_or_unit<R>>& result, std::exception_ptr& failure) {
  co_await enter_scope(scope);
  try {
    result.emplace(co_await await_value<R>(body(s)));
  } catch (...) {
    failure = std::current_exception();
  }
}

}  // namespace detail

template <class Body>
task<detail::supervised_result_t<Body>> supervise_body(strategy how, Body body, restart_intensity limit) {
  using R = detail::supervised_result_t<Body>;
  const auto group = detail::open_group(how, limit);
  supervisor s(group);
  std::optional<detail::value_or_unit<R>> result;
  std::exception_ptr failure;
  {
    detail::linked_scope scope(co_await detail::current_scope());
    detail::stop_with(*group, &scope);
    co_await detail::run_supervised(scope, body, s, result, failure);
    detail::stop_with(*group, nullptr);
  }
  detail::task_scope uncancelled;
  auto closing = detail::close_group(group);
  closing.set_scope(uncancelled);
  co_await std::move(closing);
  detail::throw_if_given_up(*group);
  if (failure) std::rethrow_exception(failure);
  if constexpr (!std::is_void_v<R>) co_return std::move(*result);
}

/// Runs `body`, a `task<R>(supervisor&)`, which starts services; when it has ended they are stopped in reverse order, each
/// within its `stop_within`, and its result is given. Services that end start again as they and the strategy say. When they do
/// so more often than `limit` allows, all are stopped, the body is cancelled, and `restart_limit` is thrown with the last death.
/// Cancellation: cancels the body, stops the services in reverse order, then throws `cancelled`.
/// Lifetime: owns the body.
template <class Body>
  requires std::invocable<std::decay_t<Body>&, supervisor&>
[[nodiscard]] auto with_supervisor(strategy how, Body&& body, restart_intensity limit = {}) {
  detail::require_safe_function<Body>();
  return supervise_body<std::decay_t<Body>>(how, std::forward<Body>(body), limit);
}

template <class Body>
  requires std::invocable<std::decay_t<Body>&, supervisor&>
service_operation<void> supervisor::supervise(strategy how, Body&& body, restart_intensity limit) {
  detail::require_safe_function<Body>();
  auto run = [how, limit, made = std::decay_t<Body>(std::forward<Body>(body))](std::function<void()> ready) {
    return [](strategy inner_how, restart_intensity inner_limit, std::decay_t<Body> start,
              std::function<void()> tell) -> task<> {
      auto whole = [&start, &tell](supervisor& inner) -> task<> {
        co_await start(inner);
        tell();
        async_event never;
        co_await never.wait();
      };
      co_await with_supervisor(inner_how, whole, inner_limit);
    }(how, limit, made, std::move(ready));
  };
  service_operation<void> made{group_, detail::coroutine_body(std::move(run))};
  return std::move(made).ready_when(readiness::notified).start_within(std::chrono::nanoseconds::max());
}

}  // namespace brood
