// condition: waiting, with a lock given up meanwhile, until somebody says that something has changed.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/sync/detail/condition_core.hpp"
#include "brood/sync/lock.hpp"

namespace brood {

/// A small handle: copies name the same condition, in this process, in others and inside messages. It lives
/// until the last handle of the last process and message is gone. Notifications are counted: each goes to one
/// who waits at that moment, first come, first served; one that reached a waiter which was cancelled goes to
/// the next. After the death of a process somebody may be notified once too often, never too seldom, so wait
/// with a predicate, or look again. Thread: the one that runs this process's loop.
class BROOD_API condition : public detail::shared_handle<condition, detail::condition_core> {
 public:
  /// With a lock of its own. The memory is taken at the first use.
  condition() = default;
  /// With the lock that protects what is waited for.
  explicit condition(brood::lock with) : lock_(std::move(with)) {}

  /// The lock to hold while one looks at what is waited for.
  const brood::lock& lock() const noexcept { return lock_; }

  /// Releases the lock that `held` holds, waits for a notification, takes the lock again. However it ends,
  /// `held` holds the lock again, so it ends only when the lock could be had; `held.abandoned()` is told
  /// anew. Throws `std::logic_error` if `held` does not hold the lock of this condition. Cancellation:
  /// `cancelled` is thrown with the lock held; a notification is not lost. Lifetime: `held` must outlive it.
  [[nodiscard]] task<> wait(lock_guard& held) const { return wait_for_notice(*this, held); }
  /// The same until `predicate()` is true; it is called with the lock held. At once if it is.
  template <class Predicate>
    requires std::predicate<std::decay_t<Predicate>&>
  [[nodiscard]] task<> wait(lock_guard& held, Predicate&& predicate) const {
    detail::require_safe_function<Predicate>();
    return wait_until_true<std::decay_t<Predicate>>(*this, held, std::forward<Predicate>(predicate));
  }

  /// Wakes one who waits, or `count`, or as many as there are. Who notifies need not hold the lock, but does
  /// if what is waited for is changed under it. A waiter's death costs the notifier nothing.
  void notify(std::uint64_t count = 1) const { core()->notify(count); }
  void notify_all() const { core()->notify(UINT64_MAX); }
  /// Coroutines, of all processes, that wait at this moment.
  std::uint64_t waiting() const { return core()->waiters().count().load(std::memory_order_relaxed); }

  template <class Archive>
  void save(Archive& archive) const {
    shared_handle::save(archive);
    archive(lock_);
  }
  /// Throws `decode_error` if the bytes name no condition.
  template <class Archive>
  void load(Archive& archive) {
    shared_handle::load(archive);
    archive(lock_);
  }

 private:
  friend class detail::shared_handle<condition, detail::condition_core>;
  std::shared_ptr<detail::condition_core> make() const;

  static task<> wait_for_notice(condition on, lock_guard& held);

  template <class Predicate>
  static task<> wait_until_true(condition on, lock_guard& held, Predicate predicate) {
    while (!predicate()) co_await wait_for_notice(on, held);
  }

  brood::lock lock_;
};

}  // namespace brood
