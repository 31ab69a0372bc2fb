// async_condition: waiting, with a mutex given up meanwhile, until somebody says that something has changed.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "brood/coroutine/async_mutex.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/shielded.hpp"
#include "brood/coroutine/task.hpp"

namespace brood {

/// Notifications are counted: each goes to one who waits at that moment, first come, first served; one that reached a
/// waiter which was cancelled goes to the next. (`condition` is the one between processes.)
/// Thread: that of its mutex. Lifetime: must outlive its waiters, and the mutex must outlive it.
class async_condition {
 public:
  explicit async_condition(async_mutex& mutex) noexcept : mutex_(mutex) {}
  async_condition(const async_condition&) = delete;
  async_condition& operator=(const async_condition&) = delete;

  /// Releases the mutex that `held` holds, waits for a notification, takes the mutex again: however it ends, `held`
  /// holds it. Throws `std::logic_error` if `held` does not hold the mutex of this condition.
  /// Cancellation: `cancelled` is thrown with the mutex held; no notification is lost. Lifetime: `held` must outlive it.
  [[nodiscard]] task<> wait(async_mutex_guard& held) { return wait_for_notice(*this, held); }
  /// The same until `predicate()` is true; it is called with the mutex held. At once if it is.
  template <class Predicate>
    requires std::predicate<std::decay_t<Predicate>&>
  [[nodiscard]] task<> wait(async_mutex_guard& held, Predicate&& predicate) {
    detail::require_safe_function<Predicate>();
    return wait_until_true<std::decay_t<Predicate>>(*this, held, std::forward<Predicate>(predicate));
  }

  /// Wakes one who waits, or `count`, or as many as there are.
  void notify(std::size_t count = 1) {
    thread_.require();
    for (; count > 0 && !waiters_.empty(); --count) waiters_.front().wake();
  }
  void notify_all() { notify(SIZE_MAX); }
  /// Coroutines that wait for a notification at this moment.
  std::size_t waiting() const noexcept { return waiters_.size(); }

 private:
  /// Enters the list, then releases the mutex, then waits to be woken.
  class notice : public detail::list_waiter<notice> {
   public:
    notice(async_condition& on, async_mutex_guard& held) noexcept
        : list_waiter(on.waiters_), on_(on), held_(held) {}
    static bool await_ready() noexcept { return false; }
    void start() {
      list_waiter::start();
      held_.release();
    }
    void await_resume() { take(); }
    bool give_back() noexcept {
      if (!on_.waiters_.empty()) on_.waiters_.front().wake();
      return true;
    }

   private:
    async_condition& on_;
    async_mutex_guard& held_;
  };

  static task<> wait_for_notice(async_condition& on, async_mutex_guard& held) {
    if (held.held_.from() != &on.mutex_.permit_) {
      throw std::logic_error("brood::async_condition::wait: the condition's mutex is not held");
    }
    on.thread_.require();
    std::exception_ptr failure;
    try {
      co_await notice(on, held);
    } catch (...) {
      failure = std::current_exception();
    }
    if (!held) {
      detail::shielded again(on.mutex_.acquire());
      held = co_await again;
    }
    if (failure) std::rethrow_exception(failure);
  }

  template <class Predicate>
  static task<> wait_until_true(async_condition& on, async_mutex_guard& held, Predicate predicate) {
    while (!predicate()) co_await wait_for_notice(on, held);
  }

  async_mutex& mutex_;
  detail::one_thread thread_;
  detail::waiter_list<notice> waiters_;
};

}  // namespace brood
