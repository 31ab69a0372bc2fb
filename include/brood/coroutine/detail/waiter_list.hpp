// How coroutines of one loop wait for the same thing, first come, first served. Under every primitive that works within
// one process: events, mutexes, semaphores, conditions, channels.
#pragma once

#include <atomic>
#include <cstddef>

#include "brood/coroutine/detail/suspension.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/coroutine/executor.hpp"

namespace brood::detail {

/// The thread that something of one loop belongs to: the one that used it first.
class one_thread {
 public:
  /// Throws `wrong_thread` on any other.
  void require() {
    const void* const here = thread_here();
    const void* const owner = owner_.load(std::memory_order_relaxed);
    if (owner == here) [[likely]]
      return;
    if (owner != nullptr) throw wrong_thread();
    owner_.store(here, std::memory_order_relaxed);
  }

 private:
  std::atomic<const void*> owner_ = nullptr;  // atomic, so that misuse is no race
};

/// A place in a `waiter_list`; part of the awaiter, so that waiting allocates nothing.
struct waiter_link {
  waiter_link* next_waiter = nullptr;
  waiter_link* previous_waiter = nullptr;
};

/// Those that wait, in the order in which they came. `Waiter` is derived from `list_waiter`.
/// Lifetime: must outlive them; it cannot move.
template <class Waiter>
class waiter_list {
 public:
  waiter_list() noexcept { head_.next_waiter = head_.previous_waiter = &head_; }
  waiter_list(const waiter_list&) = delete;
  waiter_list& operator=(const waiter_list&) = delete;

  bool empty() const noexcept { return head_.next_waiter == &head_; }
  std::size_t size() const noexcept { return size_; }
  Waiter& front() noexcept { return static_cast<Waiter&>(*head_.next_waiter); }

  void push_back(waiter_link& link) noexcept {
    link.next_waiter = &head_;
    link.previous_waiter = head_.previous_waiter;
    link.previous_waiter->next_waiter = &link;
    head_.previous_waiter = &link;
    ++size_;
  }
  void remove(waiter_link& link) noexcept {
    link.previous_waiter->next_waiter = link.next_waiter;
    link.next_waiter->previous_waiter = link.previous_waiter;
    --size_;
  }
  /// Wakes everybody who waits now: they go on later, from the ready queue, and may wait again.
  void wake_all() noexcept {
    while (!empty()) front().wake();
  }

 private:
  waiter_link head_;  // of a circular list
  std::size_t size_ = 0;
};

/// Base of the awaiters that wait in a `waiter_list`. State machine, as that of `suspension`:
///
///   new --start()--> listed --wake()--> woken --ready queue--> resumed
///                      \--stop--> out of the list, and resumed with `cancelled`
///   woken --stop, give_back()--> what it was woken for goes to the next, and it is resumed with `cancelled`
template <class Derived>
class list_waiter : public suspension<Derived>, public waiter_link {
 public:
  explicit list_waiter(waiter_list<Derived>& list) noexcept : list_(list) {}

  void start() noexcept { list_.push_back(*this); }
  void abandon() noexcept { list_.remove(*this); }
  void wake() noexcept {
    list_.remove(*this);
    this->complete();
  }

 private:
  waiter_list<Derived>& list_;
};

}  // namespace brood::detail
