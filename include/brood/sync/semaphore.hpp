// semaphore, bounded_semaphore: permits that coroutines of any processes of the family take and give back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "brood/export.hpp"
#include "brood/sync/detail/acquire.hpp"
#include "brood/sync/detail/semaphore_core.hpp"

namespace brood {

/// A permit that is held. The destructor gives it back. Moves only. A process that got it by `fork` does not
/// hold it.
class BROOD_API permit {
 public:
  /// Holds nothing.
  permit() = default;
  permit(permit&&) noexcept = default;
  permit& operator=(permit&& other) noexcept {
    permit taken(std::move(other));
    hold_ = std::move(taken.hold_);
    return *this;
  }

  /// Gives it back. Throws `std::logic_error` if this holds nothing.
  void release();
  /// Parts it from this process: it does not come back when this is destroyed or the process dies, but when
  /// somebody, anywhere, calls `release` of the semaphore. Throws `std::logic_error` if this holds nothing.
  void detach();
  explicit operator bool() const noexcept { return hold_.is_ours(); }

 private:
  template <class, class>
  friend class detail::acquire_awaiter;
  template <class, class>
  friend class basic_semaphore;
  permit(std::shared_ptr<detail::semaphore_core> core, const detail::semaphore_core::claim& claim) noexcept
      : hold_(std::move(core), claim) {}

  detail::hold<detail::semaphore_core> hold_;
};

/// What both kinds of semaphore are. A small handle: copies name the same semaphore, in this process, in
/// others and inside messages. It lives until the last handle of the last process and message is gone.
/// Fairness: first come, first served, but for at most a thousand turns of processes that come when a permit
/// is free. Deaths: the permits a dead process held come back at once. Thread: the one that runs this
/// process's loop.
template <class Derived, class Core>
class basic_semaphore : public detail::shared_handle<Derived, Core> {
 public:
  /// Waits for a permit; gives a `permit`. Cancellation: none is held, and nobody's turn is lost.
  [[nodiscard]] detail::acquire_operation<Core, permit> acquire() const {
    return detail::acquire_operation<Core, permit>(this->core());
  }
  /// Empty if none is free, or it is somebody else's turn.
  [[nodiscard]] std::optional<permit> try_acquire() const {
    detail::semaphore_core::claim claim;
    if (!this->core()->acquire(claim, false)) return std::nullopt;
    return permit(this->core(), claim);
  }
  /// `count` permits more, which nobody needs to have held: of those `permit::detach` parted with, or new
  /// ones. Throws `error`, and releases none, if there would be more than 2^31 - 1, or more than a
  /// `bounded_semaphore` began with; permits that are held count.
  void release(std::uint64_t count = 1) const { this->core()->add(count); }
  /// Permits that are free at this moment.
  std::uint64_t value() const { return this->core()->value(); }
  /// Coroutines, of all processes, that wait at this moment.
  std::uint64_t waiting() const { return this->core()->waiters().count().load(std::memory_order_relaxed); }

 protected:
  explicit basic_semaphore(std::uint64_t permits) : initial_(permits) {
    if (permits > detail::most_permits) {
      throw std::invalid_argument("brood::semaphore: more permits than a semaphore can count");
    }
  }

  std::shared_ptr<Core> make_bounded_by(std::uint64_t bound) const {
    return detail::create_primitive<Core>(family_memory::get(), [&](detail::semaphore_state& s) {
      s.bound = bound;
      s.permits().store(initial_, std::memory_order_relaxed);
    });
  }

  std::uint64_t initial_ = 1;
};

/// `semaphore s{n};` begins with n permits. `release` may add to them.
class semaphore : public basic_semaphore<semaphore, detail::semaphore_core> {
 public:
  /// Throws `std::invalid_argument` for more than 2^31 - 1. The memory is taken at the first use; then
  /// `arena_full`, and `std::logic_error` without `brood::init`.
  explicit semaphore(std::uint64_t permits = 1) : basic_semaphore(permits) {}

 private:
  friend class detail::shared_handle<semaphore, detail::semaphore_core>;
  std::shared_ptr<detail::semaphore_core> make() const { return make_bounded_by(detail::most_permits); }
};

/// `bounded_semaphore s{n};` never has more than n permits, those that are held included: to release more is
/// an error.
class bounded_semaphore : public basic_semaphore<bounded_semaphore, detail::bounded_semaphore_core> {
 public:
  /// As `semaphore`.
  explicit bounded_semaphore(std::uint64_t permits = 1) : basic_semaphore(permits) {}

 private:
  friend class detail::shared_handle<bounded_semaphore, detail::bounded_semaphore_core>;
  std::shared_ptr<detail::bounded_semaphore_core> make() const { return make_bounded_by(initial_); }
};

}  // namespace brood
