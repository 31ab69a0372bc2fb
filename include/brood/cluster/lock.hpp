// lock, semaphore, event: between all processes of a cluster.
#pragma once

#include <stdexcept>

#include "brood/cluster/detail/membership.hpp"

namespace brood::cluster {

/// One permit, or a lock that is held. Released when dropped, and by the engine when its process is not heard of for a
/// lease: then another holds it, while this one may still run. Only the resource itself can tell those apart: give it
/// `token()`, and let it refuse smaller ones than it has seen. Moves only.
class permit {
 public:
  /// Holds nothing.
  permit() = default;
  explicit permit(detail::permit_hold hold) noexcept : hold_(std::move(hold)) {}

  /// Gives it back, beside everything else. Throws `std::logic_error` if this holds nothing.
  void release() {
    if (!hold_) throw std::logic_error("brood::cluster::permit: nothing is held");
    hold_.release();
  }
  explicit operator bool() const noexcept { return static_cast<bool>(hold_); }
  /// A fencing token: each grant of anything in the cluster has a larger one than those before.
  std::uint64_t token() const { return hold_.token(); }
  /// Whether the last holder was lost with it: what it protects may be half done.
  bool abandoned() const noexcept { return hold_.abandoned(); }
  /// Whether this process knows that it was lost: not heard of for so long that another may hold it.
  bool is_lost() const noexcept { return hold_.is_lost(); }

 private:
  detail::permit_hold hold_;
};

using lock_guard = permit;

/// A small handle: every one made with the same name and number names the same semaphore. First come, first served.
/// Cancellation: nothing is held, and nobody's turn is lost.
class semaphore {
 public:
  semaphore(detail::membership_pointer of, std::string name, std::uint64_t permits)
      : of_(std::move(of)), name_(std::move(name)), permits_(permits) {
    if (permits == 0)
      throw std::invalid_argument("brood::cluster::semaphore: no permits, so nobody could ever have one");
  }

  /// Waits for a permit. Throws `error` if it was made with another number of permits elsewhere.
  [[nodiscard]] task<permit> acquire() const { return wait_for(of_, name_, permits_); }
  /// Empty if none is free, or it is somebody else's turn.
  [[nodiscard]] task<std::optional<permit>> try_acquire() const { return try_for(of_, name_, permits_); }

 private:
  static task<permit> wait_for(detail::membership_pointer of, std::string name, std::uint64_t permits) {
    auto held = co_await detail::acquire(std::move(of), std::move(name), permits, true);
    co_return permit(std::move(*held));
  }
  static task<std::optional<permit>> try_for(detail::membership_pointer of, std::string name,
                                             std::uint64_t permits) {
    auto held = co_await detail::acquire(std::move(of), std::move(name), permits, false);
    if (!held) co_return std::nullopt;
    co_return std::optional<permit>(std::in_place, std::move(*held));
  }

  detail::membership_pointer of_;
  std::string name_;
  std::uint64_t permits_;
};

/// Held by one coroutine at a time, of all processes; not recursive. As `semaphore` with one permit.
class lock : public semaphore {
 public:
  lock(detail::membership_pointer of, std::string name) : semaphore(std::move(of), std::move(name), 1) {}
};

/// A flag that can be waited for. It outlives its handles and who set it.
class event {
 public:
  event(detail::membership_pointer of, std::string name) : of_(std::move(of)), name_(std::move(name)) {}

  /// Wakes everyone who waits.
  [[nodiscard]] task<> set() const { return detail::set_event(of_, name_, true); }
  [[nodiscard]] task<> clear() const { return detail::set_event(of_, name_, false); }
  [[nodiscard]] task<bool> is_set() const { return detail::is_event_set(of_, name_); }
  [[nodiscard]] task<> wait() const { return detail::wait_for_event(of_, name_); }

 private:
  detail::membership_pointer of_;
  std::string name_;
};

}  // namespace brood::cluster
