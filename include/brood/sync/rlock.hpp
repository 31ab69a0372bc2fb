// rlock: a lock that its holder may take again. The holder is a process.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "brood/export.hpp"
#include "brood/sync/detail/acquire.hpp"
#include "brood/sync/detail/lock_core.hpp"

namespace brood {

/// One acquisition of an `rlock`, as `lock_guard`; the lock is free when the process's last one is released.
class BROOD_API rlock_guard {
 public:
  /// Holds nothing.
  rlock_guard() = default;
  rlock_guard(rlock_guard&&) noexcept = default;
  rlock_guard& operator=(rlock_guard&& other) noexcept {
    rlock_guard taken(std::move(other));
    hold_ = std::move(taken.hold_);
    return *this;
  }

  /// Throws `std::logic_error` if this holds nothing.
  void release();
  explicit operator bool() const noexcept { return hold_.is_ours(); }
  /// Whether the last owner of another process died holding the lock.
  bool abandoned() const noexcept { return hold_.claim().abandoned; }

 private:
  friend class detail::acquire_awaiter<detail::rlock_core, rlock_guard>;
  friend class rlock;
  rlock_guard(std::shared_ptr<detail::rlock_core> core, const detail::rlock_core::claim& claim) noexcept
      : hold_(std::move(core), claim) {}

  detail::hold<detail::rlock_core> hold_;
};

/// As `lock`, but owned by the process, as Python's is by the thread: while one of its coroutines holds it,
/// all of them may take it again, at once and in any order (one that waits already is served in its turn). So
/// it protects from other processes, and a coroutine that must be alone in its own process too wants a
/// `lock`.
class BROOD_API rlock : public detail::shared_handle<rlock, detail::rlock_core> {
 public:
  using guard = rlock_guard;

  /// The memory is taken at the first use.
  rlock() = default;

  /// Waits until no other process holds the lock; gives an `rlock_guard`. Cancellation: nothing is held.
  [[nodiscard]] detail::acquire_operation<detail::rlock_core, rlock_guard> acquire() const {
    return detail::acquire_operation<detail::rlock_core, rlock_guard>(core());
  }
  /// Empty if another process holds it, or it is another's turn.
  [[nodiscard]] std::optional<rlock_guard> try_acquire() const;
  /// Whether any process holds it at this moment, this one included.
  bool locked() const { return core()->is_held(); }
  /// Coroutines, of all processes, that wait at this moment.
  std::uint64_t waiting() const { return core()->waiters().count().load(std::memory_order_relaxed); }

 private:
  friend class detail::shared_handle<rlock, detail::rlock_core>;
  std::shared_ptr<detail::rlock_core> make() const;
};

}  // namespace brood
