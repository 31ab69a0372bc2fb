// Tasks that run beside each other under one stop source, and the wait for the last of them. The mechanism of
// when_all, when_any and nurseries.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <utility>

#include "brood/coroutine/detail/scope.hpp"
#include "brood/coroutine/detail/trace.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/coroutine/task.hpp"

namespace brood::detail {

/// A coroutine of its own: begins by the ready queue, frees itself at its end.
struct detached_task {
  struct promise_type {
    task_scope* scope = nullptr;

    struct begin : ready_node {
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<promise_type> h) {
        handle = h;
        run = [](ready_node& node) noexcept { static_cast<begin&>(node).handle.resume(); };
        executor::current().post(*this);
      }
      void await_resume() const noexcept {}
      std::coroutine_handle<promise_type> handle;
    };

    detached_task get_return_object() const noexcept { return {}; }
    begin initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void unhandled_exception() const noexcept { std::terminate(); }  // the bodies we start catch everything
    void return_void() const noexcept {}
  };
};

/// Lifetime: `join()` must have been awaited before it is destroyed.
class task_group {
 public:
  explicit task_group(task_scope* parent) : scope_(parent) {}

  /// Starts `body`, which must not throw, beside the caller.
  void start(task<> body) {
    body.set_scope(scope_);
    run(*this, std::move(body));
    ++running_;
  }

  void request_stop() noexcept { scope_.request_stop(); }
  const linked_scope& scope() const noexcept { return scope_; }
  std::size_t running() const noexcept { return running_; }

  /// Waits until every task has ended. Cancellation: none here, it reaches the tasks themselves.
  auto join() noexcept { return join_awaiter(*this); }

 private:
  struct join_awaiter : ready_node {
    task_group& group;
    std::coroutine_handle<> handle;
    explicit join_awaiter(task_group& g) noexcept : group(g) {}
    bool await_ready() const noexcept { return group.running_ == 0; }
    void await_suspend(std::coroutine_handle<> h) noexcept {
      handle = h;
      run = [](ready_node& node) noexcept {
        auto& self = static_cast<join_awaiter&>(node);
        // Somebody may have started one more task since the last one ended.
        if (self.group.running_ == 0) {
          self.handle.resume();
        } else {
          self.group.joining_ = &self;
        }
      };
      group.joining_ = this;
    }
    void await_resume() const noexcept {}
  };

  static detached_task run(task_group& group, task<> body) {
    trace_span running;
    running.begin();
    {
      task<> owned = std::move(body);
      co_await std::move(owned);
    }  // the body's frame is gone before the joiner can see the end
    running.end("task", "task");
    group.finished();
  }

  void finished() {
    if (--running_ == 0 && joining_ != nullptr) executor::current().post(*std::exchange(joining_, nullptr));
  }

  linked_scope scope_;
  std::size_t running_ = 0;
  join_awaiter* joining_ = nullptr;
};

/// Where a task of a group leaves its value; `void` becomes `std::monostate`, `T&` a `std::reference_wrapper<T>`.
template <class T>
struct storable {
  using type = T;
};
template <>
struct storable<void> {
  using type = std::monostate;
};
template <class T>
struct storable<T&> {
  using type = std::reference_wrapper<T>;
};
template <class T>
using value_or_unit = typename storable<T>::type;

template <class R, class A>
task<value_or_unit<R>> await_value(A a) {
  if constexpr (std::is_void_v<R>) {
    co_await std::move(a);
    co_return std::monostate();
  } else {
    co_return co_await std::move(a);
  }
}

}  // namespace brood::detail
