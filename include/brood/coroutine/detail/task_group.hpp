// Tasks that run beside each other under one stop source, and the wait for the last of them. The mechanism of
// when_all, when_any and nurseries.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>
#include <variant>

#include "brood/coroutine/detail/scope.hpp"
#include "brood/coroutine/detail/trace.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/coroutine/task.hpp"

namespace brood::detail {

class task_group;

/// What a group runs, in one frame with the operation: begins by the ready queue, frees itself at its end.
struct group_task {
  class promise_type;
};

/// Lifetime: `join()` must have been awaited before it is destroyed.
class task_group {
 public:
  explicit task_group(task_scope* parent) noexcept : scope_(parent), loop_(executor::current_or_null()) {}

  /// Awaits `operation` beside the caller. `end` gets what came of it, by `end.value(...)`, with `std::monostate` for
  /// nothing, or `end.failure(exception_ptr)`, neither of which may throw unless the other copes with it; `end.wanted()`
  /// is asked first, and what is not wanted any more never begins. Throws `std::logic_error` on another thread than that
  /// of the group's loop.
  template <class A, class End>
  void start(A operation, End end) {
    require_loop();
    run(*this, std::move(operation), std::move(end));
    ++running_;
  }
  /// For a body that throws nothing.
  void start(task<> body) { start(std::move(body), no_end()); }

  void request_stop() noexcept { scope_.request_stop(); }
  const linked_scope& scope() const noexcept { return scope_; }
  std::size_t running() const noexcept { return running_; }

  /// Waits until every task has ended. Cancellation: none here, it reaches the tasks themselves.
  auto join() noexcept { return join_awaiter(*this); }

 private:
  struct join_awaiter : ready_node {
    task_group& group;
    std::coroutine_handle<> handle;
    join_awaiter* next_joiner = nullptr;
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
          self.wait();
        }
      };
      wait();
    }
    void await_resume() const noexcept {}
    void wait() noexcept { next_joiner = std::exchange(group.joining_, this); }
  };

  struct no_end {
    static constexpr bool wanted() noexcept { return true; }
    static constexpr void value(std::monostate) noexcept {}
    static void failure(const std::exception_ptr&) noexcept { std::terminate(); }
  };

  friend class group_task::promise_type;

  template <class A, class End>
  static group_task run(task_group&, A operation, End end) {
    trace_span running;
    running.begin();
    if (end.wanted()) {
      try {
        if constexpr (std::is_void_v<await_result_t<A>>) {
          co_await std::move(operation);
          end.value(std::monostate());
        } else {
          end.value(co_await std::move(operation));
        }
      } catch (...) {
        end.failure(std::current_exception());
      }
    }
    running.end("task", "task");
  }

  void require_loop() {
    executor& here = executor::current();
    if (loop_ == nullptr) loop_ = &here;
    if (loop_ != &here) throw wrong_thread();
  }

  void finished() noexcept {
    if (--running_ > 0) return;
    for (join_awaiter* each = std::exchange(joining_, nullptr); each != nullptr;) {
      loop_->post(*std::exchange(each, each->next_joiner));
    }
  }

  linked_scope scope_;
  executor* loop_;
  std::size_t running_ = 0;
  join_awaiter* joining_ = nullptr;  // and those behind it: a scope may be joined by several
};

class group_task::promise_type {
 public:
  template <class... Rest>
  explicit promise_type(task_group& group, Rest&...) noexcept : scope(&group.scope_), group_(group) {}

  struct begin : ready_node {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<promise_type> h) noexcept {
      handle = h;
      run = [](ready_node& node) noexcept { static_cast<begin&>(node).handle.resume(); };
      h.promise().group_.loop_->post(*this);
    }
    void await_resume() const noexcept {}
    std::coroutine_handle<promise_type> handle;
  };
  struct end {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
      task_group& group = h.promise().group_;
      h.destroy();  // the operation is gone before the joiner can see the end
      group.finished();
    }
    void await_resume() const noexcept {}
  };

  group_task get_return_object() const noexcept { return {}; }
  begin initial_suspend() const noexcept { return {}; }
  end final_suspend() const noexcept { return {}; }
  void unhandled_exception() const noexcept { std::terminate(); }  // `run` catches everything
  void return_void() const noexcept {}

  task_scope* scope;

 private:
  task_group& group_;
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
