// Base of every awaiter that waits for an event on the loop and can be cancelled.
#pragma once

#include <coroutine>

#include "brood/coroutine/detail/scope.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/coroutine/executor.hpp"

namespace brood::detail {

/// One suspended coroutine. State machine (loop thread only):
///
///   started --complete()--> posted --ready queue--> resumed
///      \---stop requested: Derived::abandon(), then as above, and `take()` throws `cancelled`
///   posted --stop requested, Derived::give_back()--> as above, else the event wins
///
/// `Derived` has `void start()`: begins waiting; calls `complete()` once when the event has come, and
/// `void abandon() noexcept`: leaves whatever it waits in, after which it must not call `complete()`. It may have
/// `bool give_back() noexcept`: the event has come but the coroutine has not gone on; undoes what the event took, so
/// that `when_any` drops nothing when two events come at once. Without it what came is kept.
/// `Node` is what is posted: a ready_node, or a timer_node for those that wait for time.
template <class Derived, class Node = ready_node>
class suspension : public Node {
 public:
  suspension() = default;
  suspension(const suspension&) = delete;
  suspension& operator=(const suspension&) = delete;

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    waiting_ = h;
    loop_ = &executor::current();
    this->Node::run = [](ready_node& node) noexcept {
      auto& self = static_cast<suspension&>(static_cast<Node&>(node));
      self.posted_ = true;
      self.waiting_.resume();
    };
    if (const task_scope* scope = scope_of(h); scope != nullptr) token_ = scope->token;
    if (token_.stop_requested()) {
      cancelled_ = true;
      return false;
    }
    derived().start();
    token_.add(stop_);
    return true;
  }

 protected:
  ~suspension() { stop_.leave(); }

  /// The event has come: resume through the ready queue.
  void complete() noexcept {
    if (posted_) return;
    posted_ = true;
    loop_->post(*this);
  }

  /// First line of every `await_resume`.
  void take() {
    leave_scope();
    throw_if_cancelled();
  }
  /// No stop reaches it any more.
  void leave_scope() noexcept { stop_.leave(); }
  void throw_if_cancelled() const {
    if (cancelled_) throw cancelled();
  }

  /// What a `Derived` whose event cannot be undone has.
  bool give_back() noexcept { return false; }

  bool was_cancelled() const noexcept { return cancelled_; }
  bool stop_requested() const noexcept { return token_.stop_requested(); }

  // For those that look again when they are posted, and may have to wait on (they set `run` to a function of theirs).
  void resume() noexcept { waiting_.resume(); }
  void wait_on() noexcept { posted_ = false; }
  void end_cancelled() noexcept { cancelled_ = true; }
  executor& loop() const noexcept { return *loop_; }

 private:
  struct listener : stop_listener {
    suspension* self;
    explicit listener(suspension* s) noexcept : self(s) {
      on_stop = [](stop_listener& told) noexcept { static_cast<listener&>(told).self->stop(); };
    }
  };

  void stop() noexcept {
    if (posted_) {
      cancelled_ = derived().give_back();
      return;
    }
    derived().abandon();
    cancelled_ = true;
    complete();
  }

  Derived& derived() noexcept { return static_cast<Derived&>(*this); }

  std::coroutine_handle<> waiting_;
  executor* loop_ = nullptr;
  stop_token token_;
  listener stop_{this};
  bool posted_ = false;
  bool cancelled_ = false;
};

}  // namespace brood::detail
