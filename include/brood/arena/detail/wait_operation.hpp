// Base of every awaiter that waits for something in shared memory.
#pragma once

#include <exception>

#include "brood/arena/detail/wait_list.hpp"
#include "brood/coroutine/detail/suspension.hpp"

namespace brood::detail {

/// Makes this process's loop wakeable, at its first wait.
void ensure_wake_port();

/// True every so many calls: time to let the loop's other coroutines run.
inline bool time_to_yield() noexcept {
  static thread_local unsigned served = 0;
  return ++served % 256 == 0;
}

/// One attempt to take something, repeated when woken. `Derived` has
///   `bool attempt()`         takes what is waited for and keeps it; false if it is not there; may throw;
///   `bool more()`            whether there is more of it, for others;
///   `wait_list& list()`      where to wait for it;
///   `arena& memory()`.
/// Fast path: an attempt that succeeds at once suspends nothing, allocates nothing and makes no system call.
/// A wake only makes it try again, from the ready queue; if another was faster it waits on, at the front. So
/// a waiter that is cancelled has taken nothing, and passes on the wake it may have had.
template <class Derived>
class wait_operation : public suspension<Derived>, private waiter {
 public:
  bool await_ready() {
    if (!self().attempt()) return false;
    done_ = true;
    return !time_to_yield();
  }

  void start() {
    if (done_) return this->complete();
    ensure_wake_port();
    this->run = [](ready_node& node) noexcept {
      static_cast<wait_operation&>(static_cast<suspension<Derived>&>(node)).try_again();
    };
    this->woken = [](waiter& w) noexcept { static_cast<wait_operation&>(w).on_wake(); };
    entry_ = &self().memory().take_wait_entry(*this);
    try {
      enqueue(self().memory(), self().list(), *entry_, false);
      if (!self().attempt()) return;
    } catch (...) {
      finish(false);
      throw;
    }
    finish(false);  // a wake that came meanwhile was for somebody else
    done_ = true;
    this->complete();
  }

  void abandon() noexcept { finish(false); }

 protected:
  ~wait_operation() = default;

  /// First line of every `await_resume`.
  void take() {
    if (!done_) suspension<Derived>::take();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  Derived& self() noexcept { return static_cast<Derived&>(*this); }

  void on_wake() noexcept {
    const auto state = entry_->state.load(std::memory_order_acquire);
    if (state == static_cast<std::uint64_t>(wait_state::woken)) this->complete();
  }

  void try_again() noexcept {
    if (done_ || this->was_cancelled()) return this->resume();
    try {
      if (self().attempt()) {
        finish(true);
        done_ = true;
      } else if (this->stop_requested()) {
        finish(false);
        this->end_cancelled();
      } else {
        enqueue(self().memory(), self().list(), *entry_, true);
        if (!self().attempt()) return this->wait_on();
        finish(false);
        done_ = true;
      }
    } catch (...) {
      finish(false);
      failure_ = std::current_exception();
      done_ = true;
    }
    this->resume();
  }

  void finish(bool served) noexcept {
    if (entry_ == nullptr) return;
    if (leave(self().memory(), self().list(), *entry_)) {
      settle_wake(self().memory(), self().list(), !served || self().more());
    }
    self().memory().return_wait_entry(*entry_);
    entry_ = nullptr;
  }

  wait_entry* entry_ = nullptr;
  std::exception_ptr failure_;
  bool done_ = false;
};

}  // namespace brood::detail
