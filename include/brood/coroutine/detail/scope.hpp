// What the tasks of one scope share: the stop token. A task inherits its awaiter's scope, so cancellation needs
// no argument; `with_timeout`, `when_all`, `when_any` and nurseries open scopes of their own below it.
#pragma once

#include <concepts>
#include <coroutine>

#include "brood/coroutine/stop_token.hpp"

namespace brood::detail {

struct task_scope {
  stop_token token;
};

/// The scope of the coroutine behind `h`; null if it is of a foreign type, which then cannot be cancelled.
template <class Promise>
task_scope* scope_of(std::coroutine_handle<Promise> h) noexcept {
  if constexpr (requires {
                  { h.promise().scope } -> std::convertible_to<task_scope*>;
                }) {
    return h.promise().scope;
  } else {
    return nullptr;
  }
}

/// A scope that stops when its parent does, or by itself.
/// Lifetime: must outlive every task that runs in it; it cannot move.
class linked_scope : public task_scope, private stop_listener {
 public:
  explicit linked_scope(task_scope* parent) noexcept {
    token = source_.get_token();
    on_stop = [](stop_listener& self) noexcept { static_cast<linked_scope&>(self).request_stop(); };
    if (parent != nullptr) parent->token.add(*this);
  }
  ~linked_scope() { leave(); }
  linked_scope(const linked_scope&) = delete;
  linked_scope& operator=(const linked_scope&) = delete;

  void request_stop() noexcept { source_.request_stop(); }

 private:
  stop_source source_;
};

/// Awaited inside a coroutine, without suspending it: what it awaits from now on belongs to `scope`.
class enter_scope {
 public:
  explicit enter_scope(task_scope& scope) noexcept : scope_(scope) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) const noexcept {
    h.promise().scope = &scope_;
    return false;
  }
  void await_resume() const noexcept {}

 private:
  task_scope& scope_;
};

/// Awaited inside a coroutine, gives its scope without suspending.
struct current_scope {
  task_scope* scope = nullptr;
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) noexcept {
    scope = scope_of(h);
    return false;
  }
  task_scope* await_resume() const noexcept { return scope; }
};

}  // namespace brood::detail

namespace brood::this_task {

/// `auto token = co_await this_task::stop_token();` The token that is asked to stop when this task is cancelled.
/// For loops that compute without awaiting anything of this library. Lifetime: good while the task runs; a
/// `std::stop_token` made of it may be kept.
struct stop_token : private detail::current_scope {
  using current_scope::await_ready;
  using current_scope::await_suspend;
  brood::stop_token await_resume() const noexcept {
    return scope != nullptr ? scope->token : brood::stop_token();
  }
};

}  // namespace brood::this_task
