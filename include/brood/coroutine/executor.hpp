// What resumes coroutines: a ready queue and a set of timers. The runtime storey drives one from a libuv loop;
// tests drive one with a clock of their own. This storey knows nothing of either.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "brood/coroutine/detail/forked.hpp"
#include "brood/export.hpp"

namespace brood {

using clock = std::chrono::steady_clock;

namespace detail {

/// Tells this thread from the others of the process.
inline const void* thread_here() noexcept { return __builtin_thread_pointer(); }

/// Something to run on the loop thread. Embedded in the awaiter it resumes, so posting allocates nothing.
/// Lifetime: must stay where it is from `executor::post` until `run` is called or `executor::withdraw`.
struct ready_node {
  void (*run)(ready_node&) noexcept = nullptr;
  ready_node* next = nullptr;
  ready_node* previous = nullptr;  // null while not in the queue
};

/// A point in time at which a node becomes ready. Removed in O(log n) by the index it carries.
struct timer_node : ready_node {
  static constexpr std::size_t idle = SIZE_MAX;
  clock::time_point due{};
  std::uint64_t order = 0;        // first in, first out among equal times
  std::size_t heap_index = idle;  // `idle` while not in a heap
};

/// Binary heap of timers, smallest due time first.
class BROOD_API timer_heap {
 public:
  void insert(timer_node& node);
  void remove(timer_node& node) noexcept;
  bool empty() const noexcept { return heap_.empty(); }
  std::size_t size() const noexcept { return heap_.size(); }
  timer_node& top() const noexcept { return *heap_.front(); }

 private:
  static bool before(const timer_node& a, const timer_node& b) noexcept;
  void place(std::size_t index, timer_node* node) noexcept;
  void sift_up(std::size_t index) noexcept;
  void sift_down(std::size_t index) noexcept;

  std::vector<timer_node*> heap_;
  std::uint64_t inserted_ = 0;
};

}  // namespace detail

/// Ready queue and timers of one loop thread. Every member is to be called on that thread.
class BROOD_API executor {
 public:
  executor() noexcept { queue_.next = queue_.previous = &queue_; }
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;

  /// Runs `node` soon, after everything posted before it; never from inside this call.
  void post(detail::ready_node& node) noexcept {
    node.next = &queue_;
    node.previous = queue_.previous;
    queue_.previous->next = &node;
    queue_.previous = &node;
  }

  /// Takes `node` out of the ready queue, if it is there.
  void withdraw(detail::ready_node& node) noexcept {
    if (node.previous == nullptr) return;
    node.previous->next = node.next;
    node.next->previous = node.previous;
    node.previous = nullptr;
  }

  /// Posts `node` when its due time has come, unless it is removed before.
  void start_timer(detail::timer_node& node);
  /// Takes `node` out, also when its time has come but it has not run yet. Does nothing if it is not waiting.
  void stop_timer(detail::timer_node& node) noexcept;

  /// The executor whose loop this thread is running. Throws `std::logic_error` where there is none, and
  /// `forked_process` where there was one before the fork.
  static executor& current();
  /// The same, or null.
  static executor* current_or_null() noexcept;

  /// Whether this process got it by a fork: then the loop, and all that waits in it, are an ancestor's.
  bool is_inherited() const noexcept { return made_at_ != detail::forks; }

 protected:
  ~executor() = default;

  /// Makes this executor the thread's current one for its lifetime; scopes nest.
  class scope {
   public:
    explicit scope(executor& e) noexcept;
    ~scope();
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;

   private:
    executor* previous_;
  };

  /// In a fresh clone of the process: no executor is this thread's any more.
  static void forget_current() noexcept;

  bool has_ready() const noexcept { return queue_.next != &queue_; }
  /// Runs ready nodes until none is left or `budget` has passed; the clock is read every few nodes. Returns at once if
  /// one of them comes back in a fork.
  /// Returns how many ran.
  std::size_t run_ready(clock::duration budget) noexcept;
  /// Posts every timer that is due at `now`.
  void post_due_timers(clock::time_point now) noexcept;
  /// The earliest due time, or `time_point::max()`.
  clock::time_point next_timer() const noexcept;

  /// Called when the earliest due time may have changed, so that the loop can sleep for the right time.
  virtual void timers_changed() = 0;

 private:
  detail::ready_node queue_;  // the head of a circular list
  detail::timer_heap timers_;
  const std::uint64_t made_at_ = detail::forks;
};

}  // namespace brood
