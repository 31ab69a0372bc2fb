// spawn<f>(args...): a C++ function in a child process.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "brood/arena/detail/shared_object.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/export.hpp"
#include "brood/process/detail/function_entry.hpp"
#include "brood/process/launch.hpp"
#include "brood/process/process.hpp"

namespace brood {

namespace detail {
struct function_call {
  function_token function;
  bytes arguments;
  std::vector<held_reference>
      objects;  // that the arguments hold handles of; a handle may be closed meanwhile
};

template <auto Function, class... Arguments>
function_call make_call(Arguments&&... arguments) {
  using target = child_function<Function>;
  static const function_token token = token_of(&target::run);
  travelling_objects travelling;
  bytes encoded = target::encode_arguments(std::forward<Arguments>(arguments)...);
  std::vector<held_reference> objects;
  for (const auto& object : travelling.objects()) objects.emplace_back(object->name(), object->kind());
  return {token, std::move(encoded), std::move(objects)};
}

/// Starts a child; see `spawn`.
BROOD_API task<std::shared_ptr<child>> launch_function(launch_plan plan, function_call call);
/// Keeps a child within a nursery: waits for its end; when cancelled asks it to stop, and kills it at its time.
/// Throws the child's error. If there is no memory for that the child is killed.
BROOD_API void keep_within(nursery& scope, std::shared_ptr<child> child);
}  // namespace detail

/// What `spawn` gives: set what is to be set, then `co_await` it. Nothing happens before.
template <class R>
class [[nodiscard("nothing is spawned until this is awaited")]] spawn_operation
    : public launch_setters<spawn_operation<R>, detail::functions> {
 public:
  explicit spawn_operation(detail::function_call call, nursery* scope = nullptr) noexcept
      : call_(std::move(call)), scope_(scope) {}
  spawn_operation(spawn_operation&&) = default;
  /// By value, as `op = std::move(op).nice(5)` assigns an object to itself.
  spawn_operation& operator=(spawn_operation other) noexcept {
    this->plan_ = std::move(other.plan_);
    call_ = std::move(other.call_);
    scope_ = other.scope_;
    once_ = std::move(other.once_);
    return *this;
  }

  /// `fork_server` (the default) or `exec`.
  spawn_operation& start_method(brood::start_method how) & {
    this->plan_.method = how;
    return *this;
  }
  spawn_operation&& start_method(brood::start_method how) && { return std::move(start_method(how)); }

  auto operator co_await() && {
    once_.spend();
    return detail::owned_task<process<R>>(start(std::move(this->plan_), std::move(call_), scope_));
  }

 private:
  static task<process<R>> start(detail::launch_plan plan, detail::function_call call, nursery* scope) {
    if (scope != nullptr && !plan.leftovers) plan.leftovers = brood::leftovers::kill;
    auto child = co_await detail::launch_function(std::move(plan), std::move(call));
    if (scope != nullptr) detail::keep_within(*scope, child);
    co_return process<R>(std::move(child));
  }

  detail::function_call call_;
  nursery* scope_;
  brood::detail::await_once once_;
};

/// Runs `Function` (a function or a captureless lambda, plain or a coroutine) in a child of its own, with copies of
/// `arguments`; `co_await` gives its `process<R>` as soon as the child exists.
/// Throws `std::system_error` naming the step that failed (EAGAIN: too many processes; EMFILE: too many descriptors),
/// `std::logic_error` without `brood::init` or `brood::run`.
/// Cancellation: a child that was already made is killed, and its end awaited.
template <auto Function, class... Arguments>
auto spawn(Arguments&&... arguments) {
  detail::require_safe_temporary<Arguments...>();
  return spawn_operation<typename detail::child_function<Function>::result>(
      detail::make_call<Function>(std::forward<Arguments>(arguments)...));
}

template <auto Function, class... Arguments>
auto nursery::spawn(Arguments&&... arguments) {
  detail::require_safe_temporary<Arguments...>();
  return spawn_operation<typename detail::child_function<Function>::result>(
      detail::make_call<Function>(std::forward<Arguments>(arguments)...), this);
}

}  // namespace brood
