// lock: mutual exclusion between coroutines of any processes of the family.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "brood/export.hpp"
#include "brood/sync/detail/acquire.hpp"
#include "brood/sync/detail/lock_core.hpp"

namespace brood {

/// A lock that is held. The destructor releases it. Moves only. A process that got it by `fork` does not hold
/// it, and its copy releases nothing.
class BROOD_API lock_guard {
 public:
  /// Holds nothing.
  lock_guard() = default;
  lock_guard(lock_guard&&) noexcept = default;
  lock_guard& operator=(lock_guard&& other) noexcept {
    lock_guard taken(std::move(other));
    hold_ = std::move(taken.hold_);
    return *this;
  }

  /// Throws `std::logic_error` if this holds nothing: released before, moved from, or inherited by `fork`.
  void release();
  /// Whether it holds the lock.
  explicit operator bool() const noexcept { return hold_.is_ours(); }
  /// Whether the last owner died holding the lock: what it protects may be half done.
  bool abandoned() const noexcept { return hold_.claim().abandoned; }

 private:
  friend class detail::acquire_awaiter<detail::lock_core, lock_guard>;
  friend class lock;
  friend class condition;
  lock_guard(std::shared_ptr<detail::lock_core> core, const detail::lock_core::claim& claim) noexcept
      : hold_(std::move(core), claim) {}

  detail::hold<detail::lock_core> hold_;
};

/// A small handle: copies name the same lock, in this process, in others and inside messages. It lives until
/// the last handle of the last process and message is gone. Held by one coroutine at a time, of all
/// processes; not recursive. Uncontended it costs no system call. Fairness: first come, first served, but for
/// at most a thousand turns of processes that come when it is free. Deaths: a lock whose holder dies is
/// released at once, and the next one is told (`lock_guard::abandoned`). Thread: the one that runs this
/// process's loop. Forks: every use throws `forked_process` in a process that the application forked by itself.
class BROOD_API lock : public detail::shared_handle<lock, detail::lock_core> {
 public:
  using guard = lock_guard;

  /// The memory is taken at the first use; then `arena_full`, and `std::logic_error` without `brood::init` or if this was
  /// made before it.
  lock() = default;

  /// Waits until the lock is free; gives a `lock_guard`. Cancellation: the lock is not held, and nobody's
  /// turn is lost. Lifetime: keeps the lock alive.
  [[nodiscard]] detail::acquire_operation<detail::lock_core, lock_guard> acquire() const {
    return detail::acquire_operation<detail::lock_core, lock_guard>(core());
  }
  /// Empty if it is held, or somebody else's turn.
  [[nodiscard]] std::optional<lock_guard> try_acquire() const;
  /// Whether anybody holds it at this moment.
  bool locked() const { return core()->is_held(); }
  /// Coroutines, of all processes, that wait at this moment.
  std::uint64_t waiting() const { return core()->waiters().count().load(std::memory_order_relaxed); }

 private:
  friend class detail::shared_handle<lock, detail::lock_core>;
  friend class condition;
  explicit lock(std::shared_ptr<detail::lock_core> core) noexcept : shared_handle(std::move(core)) {}
  std::shared_ptr<detail::lock_core> make() const;
};

}  // namespace brood
