// managed::lock: a lock in a manager, and the guards of what is held there.
#pragma once

#include <cstdint>
#include <utility>

#include "brood/manager/detail/hold.hpp"

namespace brood::managed {

class condition;

/// Holds a lock. Moves only; the destructor releases.
class lock_guard : public hold {
 public:
  lock_guard() = default;
  lock_guard(lock_guard&&) noexcept = default;
  lock_guard& operator=(lock_guard&& other) noexcept {
    release();
    abandoned_ = other.abandoned_;
    hold::operator=(std::move(other));
    return *this;
  }
  ~lock_guard() { release(); }

  /// At once, without waiting for the manager. Twice is fine.
  void release() noexcept { give_back(remote::lock_method::release); }
  /// Did the last owner die, or lose its connection, while it held the lock?
  bool abandoned() const noexcept { return abandoned_; }

 private:
  friend class condition;
  friend struct remote::to_guard<lock_guard>;
  friend struct remote::to_optional_guard<lock_guard>;
  static lock_guard read(remote::answer_reader& from) {
    const std::uint64_t id = from.count();
    return {from.target(), id, from.flag()};
  }
  lock_guard(remote::object_pointer object, std::uint64_t id, bool abandoned) noexcept
      : hold(std::move(object), id), abandoned_(abandoned) {}

  bool abandoned_ = false;
};

/// Held by one at a time, first come first served. It comes back when its owner dies or loses its connection.
class lock : public remote::proxy_of<lock> {
  using method = remote::lock_method;

 public:
  using proxy_of::proxy_of;
  static std::uint64_t type() { return remote::type_key<>(remote::kind::lock); }

  /// Waits for it; gives a `lock_guard`.
  auto acquire() const {
    return remote_call(about(method::acquire), acquired(), &remote::give_back<acquired>);
  }
  /// An empty optional if somebody has it.
  auto try_acquire() const {
    return remote_call(about(method::try_acquire), perhaps_acquired(), &remote::give_back<perhaps_acquired>);
  }
  auto locked() const { return asked(remote::to_flag(), method::locked); }

 private:
  using acquired = remote::to_guard<lock_guard>;
  using perhaps_acquired = remote::to_optional_guard<lock_guard>;
};

}  // namespace brood::managed
