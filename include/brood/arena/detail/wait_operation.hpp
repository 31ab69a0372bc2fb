// Base of every awaiter that waits for something in shared memory.
#pragma once

#include <exception>

#include "brood/arena/detail/wait_list.hpp"
#include "brood/coroutine/detail/suspension.hpp"
#include "brood/coroutine/detail/trace.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// Makes this process's loop wakeable, at its first wait.
BROOD_API void ensure_wake_port();
/// Makes this thread the one that uses the shared memory, while its runtime lives. Throws `wrong_thread` if another is.
BROOD_API void require_loop_of_memory();

/// One attempt to take something, repeated when woken. `Derived` has
///   `bool attempt()`         takes what is waited for and keeps it; false if it is not there; may throw;
///   `bool more()`            whether there is more of it, for others;
///   `wait_list& list()`      where to wait for it;
///   `arena& memory()`;
///   `static constexpr const char* waits_for`, if it likes: what a trace calls the wait.
/// Fast path: an attempt that succeeds at once suspends nothing, allocates nothing and makes no system call.
/// A wake only makes it try again, from the ready queue; if another was faster it waits on, at the front. So
/// a waiter that is cancelled has taken nothing, and passes on the wake it may have had. What an attempt took
/// the coroutine gets at once: between the two nothing can cancel it, so `when_any` over two that could both
/// go on drops nothing.
template <class Derived>
class wait_operation : public suspension<Derived>, private waiter {
  using base = suspension<Derived>;

 public:
  bool await_ready() {
    if (!self().memory().wakes.is_used_by(thread_here())) [[unlikely]]
      require_loop_of_memory();
    if (self().memory().wakes.time_to_yield()) return false;
    tried_ = true;
    return done_ = self().attempt();
  }

  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> h) {
    return base::await_suspend(h) && !done_;
  }

  void start() {
    this->run = [](ready_node& node) noexcept {
      static_cast<wait_operation&>(static_cast<base&>(node)).try_again();
    };
    if (!tried_) return this->complete();  // only let the others run
    done_ = wait_in_list();
  }

  void abandon() noexcept { finish(false); }
  bool give_back() noexcept {
    finish(false);
    return true;
  }

 protected:
  ~wait_operation() = default;

  /// First line of every `await_resume`.
  void take() {
    this->leave_scope();
    if (!done_) this->throw_if_cancelled();
    if (failure_) std::rethrow_exception(failure_);
  }

  // For attempts that depend on whose turn it is.
  /// Whether it stands in the list, or was woken there.
  bool is_listed() const noexcept { return entry_ != nullptr; }
  /// Whether it was woken, so that this attempt is what the wake was for.
  bool is_in_turn() const noexcept {
    return entry_ != nullptr &&
           entry_->state.load(std::memory_order_acquire) == static_cast<std::uint64_t>(wait_state::woken);
  }

 private:
  Derived& self() noexcept { return static_cast<Derived&>(*this); }

  void on_wake() noexcept {
    const auto state = entry_->state.load(std::memory_order_acquire);
    if (state == static_cast<std::uint64_t>(wait_state::woken)) this->complete();
  }

  /// True if the attempt that follows the entry into the list succeeded.
  bool wait_in_list() {
    ensure_wake_port();
    this->woken = [](waiter& w) noexcept { static_cast<wait_operation&>(w).on_wake(); };
    entry_ = &self().memory().wakes.take_wait_entry(*this);
    waiting_.begin();
    try {
      enqueue(self().memory(), self().list(), *entry_, false);
      if (!self().attempt()) return false;
    } catch (...) {
      finish(false);
      throw;
    }
    finish(false);  // a wake that came meanwhile was for somebody else
    return true;
  }

  bool attempt_again() {
    if (self().attempt()) {
      finish(true);
      return true;
    }
    if (entry_ == nullptr) return wait_in_list();
    enqueue(self().memory(), self().list(), *entry_, true);
    if (!self().attempt()) return false;
    finish(false);
    return true;
  }

  void try_again() noexcept {
    if (this->was_cancelled()) return this->resume();
    try {
      if (!attempt_again()) return this->wait_on();
    } catch (...) {
      finish(false);
      failure_ = std::current_exception();
    }
    done_ = true;
    this->resume();
  }

  void finish(bool served) noexcept {
    if (entry_ == nullptr) return;
    if (entry_->owner.load(std::memory_order_relaxed) != self().memory().processes.me()) {
      entry_ = nullptr;  // of the process that this one was forked from
      return;
    }
    if (leave(self().memory(), self().list(), *entry_)) {
      settle_wake(self().memory(), self().list(), !served || self().more());
    }
    self().memory().wakes.return_wait_entry(*entry_);
    entry_ = nullptr;
    waiting_.end("wait", name_of_wait());
  }

  static constexpr const char* name_of_wait() noexcept {
    if constexpr (requires { Derived::waits_for; }) {
      return Derived::waits_for;
    } else {
      return "wait";
    }
  }

  wait_entry* entry_ = nullptr;
  trace_span waiting_;
  std::exception_ptr failure_;
  bool tried_ = false;
  bool done_ = false;
};

}  // namespace brood::detail
