// async_event: something that has happened, or not yet, for coroutines of one loop.
#pragma once

#include <cstddef>

#include "brood/coroutine/detail/waiter_list.hpp"

namespace brood {

/// Clear at first. Waiting allocates nothing. (`event` is the one between processes.)
/// Thread: the one that uses it first; another one gets `wrong_thread`. Lifetime: must outlive its waiters.
class async_event {
  class waiter;

 public:
  async_event() = default;
  async_event(const async_event&) = delete;
  async_event& operator=(const async_event&) = delete;

  bool is_set() const noexcept { return set_; }
  /// Wakes everybody who waits, in the order in which they came; later waits return at once. Twice is fine.
  void set() {
    thread_.require();
    set_ = true;
    waiters_.wake_all();
  }
  void clear() {
    thread_.require();
    set_ = false;
  }
  /// Wakes everybody who waits now, and leaves the event as it is.
  void notify_all() {
    thread_.require();
    waiters_.wake_all();
  }

  /// Returns when the event is set, at once if it is, or at the next `notify_all`. Who waited when it was set goes on,
  /// also if it was cleared again at once. Cancellation: nothing is lost.
  [[nodiscard]] auto wait() noexcept { return operation(*this); }
  /// Coroutines that wait at this moment.
  std::size_t waiting() const noexcept { return waiters_.size(); }

 private:
  class waiter : public detail::list_waiter<waiter> {
   public:
    explicit waiter(async_event& event) noexcept : list_waiter(event.waiters_), event_(event) {}
    bool await_ready() const {
      event_.thread_.require();
      return event_.set_;
    }
    void await_resume() { take(); }
    static bool give_back() noexcept { return true; }  // being woken takes nothing

   private:
    async_event& event_;
  };

  struct operation {
    explicit operation(async_event& e) noexcept : event(e) {}
    waiter operator co_await() const noexcept { return waiter(event); }
    async_event& event;
  };

  detail::one_thread thread_;
  detail::waiter_list<waiter> waiters_;
  bool set_ = false;
};

}  // namespace brood
