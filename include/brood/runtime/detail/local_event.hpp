// An event inside one loop: coroutines wait until it is set. (`brood::event` is the one across processes.)
#pragma once

#include "brood/coroutine/detail/suspension.hpp"

namespace brood::detail {

/// Loop thread only. Lifetime: must outlive its waiters.
class local_event {
  class waiter;

 public:
  local_event() noexcept { list_.next = list_.previous = &list_; }
  local_event(const local_event&) = delete;
  local_event& operator=(const local_event&) = delete;

  bool is_set() const noexcept { return set_; }

  /// Resumes every waiter, in the order they came; later waits return at once.
  void set() noexcept {
    set_ = true;
    notify_all();
  }

  /// Resumes every present waiter without setting the event.
  void notify_all() noexcept;

  /// Waits until it is set, or for the next `notify_all`. Cancellation: leaves the queue of waiters.
  auto wait() noexcept { return waiting(*this); }

 private:
  struct link {
    link* next = nullptr;
    link* previous = nullptr;
    void unlink() noexcept {
      next->previous =
          previous;  // NOLINT(clang-analyzer-core.NullDereference): what is in the list has neighbours
      previous->next = next;
      next = previous = nullptr;
    }
  };

  class waiter : public suspension<waiter>, private link {
   public:
    explicit waiter(local_event& event) noexcept : event_(event) {}
    bool await_ready() const noexcept { return event_.set_; }
    void await_resume() { take(); }
    void start() noexcept {
      link::next = &event_.list_;
      link::previous = event_.list_.previous;
      link::previous->next = this;
      event_.list_.previous = this;
    }
    void abandon() noexcept { link::unlink(); }
    bool give_back() noexcept { return true; }  // being woken takes nothing

   private:
    friend local_event;
    void wake() noexcept {
      link::unlink();
      complete();
    }
    local_event& event_;
  };

  struct waiting {
    explicit waiting(local_event& e) noexcept : event(e) {}
    waiter operator co_await() const noexcept { return waiter(event); }
    local_event& event;
  };

  link list_;
  bool set_ = false;
};

inline void local_event::notify_all() noexcept {
  // Only those that wait now: a waiter resumes later, from the ready queue, and may wait again.
  while (list_.next != &list_) static_cast<waiter*>(list_.next)->wake();
}

}  // namespace brood::detail
