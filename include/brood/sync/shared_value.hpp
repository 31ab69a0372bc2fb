// shared_value<T>: one value that several processes see, with a lock.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "brood/channel/shared_buffer.hpp"
#include "brood/sync/detail/locked.hpp"
#include "brood/sync/lock.hpp"

namespace brood {

/// The value while its lock is held: `*v`, `v->member`. The destructor releases the lock.
template <class T>
class locked_value {
 public:
  locked_value(lock_guard guard, shared_buffer memory, T* value) noexcept
      : memory_(std::move(memory)), guard_(std::move(guard)), value_(value) {}

  T& operator*() const noexcept { return *value_; }
  T* operator->() const noexcept { return value_; }
  /// Throws `std::logic_error` the second time.
  void release() { guard_.release(); }
  /// Whether the last owner died holding the lock, perhaps in the middle of a change.
  bool abandoned() const noexcept { return guard_.abandoned(); }
  /// For `condition::wait`.
  lock_guard& guard() noexcept { return guard_; }

 private:
  shared_buffer memory_;
  lock_guard guard_;
  T* value_;
};

/// A small handle: copies name the same value and the same lock, in this process, in others and inside
/// messages. The memory goes with the last handle of the last process and message, also of killed ones. For a
/// value of its own, give a copy of this one: `shared_value<T> other(v.unlocked())`.
template <class T>
class shared_value {
  static_assert(
      std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T>,
      "brood::shared_value<T>: T must be trivially copyable, as it lies in memory that processes share");

 public:
  /// A default value, of its own. Throws `arena_full`, and `std::logic_error` without `brood::init`.
  shared_value() : shared_value(T{}) {}
  explicit shared_value(const T& value) : shared_value(value, lock()) {}
  /// With a lock that protects other things too.
  shared_value(const T& value, lock with) : memory_(sizeof(T)), lock_(std::move(with)) {
    new (memory_.data()) T(value);
  }

  /// Waits for the lock; gives a `locked_value<T>`. Cancellation: the lock is not held.
  [[nodiscard]] detail::locked_operation<locked_value<T>, T*> locked() const {
    return {lock_.acquire(), memory_, &unlocked()};
  }
  /// The value itself, lock or no lock: whoever else may write it has to be kept away by other means.
  T& unlocked() const noexcept { return *reinterpret_cast<T*>(memory_.data()); }
  const brood::lock& get_lock() const noexcept { return lock_; }

  friend bool operator==(const shared_value& a, const shared_value& b) { return a.memory_ == b.memory_; }

  template <class Archive>
  void save(Archive& archive) const {
    archive(memory_, lock_);
  }
  /// Throws `decode_error` if the bytes name no such value.
  template <class Archive>
  void load(Archive& archive) {
    archive(memory_, lock_);
    if (memory_.size() != sizeof(T)) throw decode_error("a shared value of another type");
  }

 private:
  shared_buffer memory_;
  brood::lock lock_;
};

}  // namespace brood
