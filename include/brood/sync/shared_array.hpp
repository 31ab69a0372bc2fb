// shared_array<T>: a row of values that several processes see, with a lock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "brood/channel/shared_buffer.hpp"
#include "brood/sync/detail/locked.hpp"
#include "brood/sync/lock.hpp"

namespace brood {

/// The values while their lock is held, as a span. The destructor releases the lock.
template <class T>
class locked_array {
 public:
  locked_array(lock_guard guard, shared_buffer memory, std::span<T> values) noexcept
      : memory_(std::move(memory)), guard_(std::move(guard)), values_(values) {}

  std::span<T> operator*() const noexcept { return values_; }
  const std::span<T>* operator->() const noexcept { return &values_; }
  T& operator[](std::size_t index) const noexcept { return values_[index]; }
  auto begin() const noexcept { return values_.begin(); }
  auto end() const noexcept { return values_.end(); }
  std::size_t size() const noexcept { return values_.size(); }
  /// Throws `std::logic_error` the second time.
  void release() { guard_.release(); }
  /// Whether the last owner died holding the lock, perhaps in the middle of a change.
  bool abandoned() const noexcept { return guard_.abandoned(); }
  /// For `condition::wait`.
  lock_guard& guard() noexcept { return guard_; }

 private:
  shared_buffer memory_;
  lock_guard guard_;
  std::span<T> values_;
};

/// A small handle: copies name the same values and the same lock, in this process, in others and inside
/// messages. The memory, aligned to 64 bytes, goes with the last handle of the last process and message, also
/// of killed ones. `span` and what else gives the values without the lock is for when other means keep the
/// others away, such as a range of its own for each process. For values of its own, give a copy of these:
/// `shared_array<T> other(a.span())`.
template <class T>
class shared_array {
  static_assert(
      std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T>,
      "brood::shared_array<T>: T must be trivially copyable, as it lies in memory that processes share");

 public:
  /// `count` default values. Throws `arena_full`, and `std::logic_error` without `brood::init`.
  explicit shared_array(std::size_t count) : shared_array(count, lock()) {}
  /// With a lock that protects other things too.
  shared_array(std::size_t count, lock with) : memory_(bytes_for(count)), lock_(std::move(with)) {
    std::uninitialized_value_construct_n(data(), count);
  }
  explicit shared_array(std::span<const T> values) : memory_(bytes_for(values.size())) {
    std::uninitialized_copy(values.begin(), values.end(), data());
  }
  /// Names no values; empty.
  shared_array() = default;

  std::span<T> span() const noexcept { return {data(), size()}; }
  operator std::span<T>() const noexcept { return span(); }
  T* data() const noexcept { return reinterpret_cast<T*>(memory_.data()); }
  std::size_t size() const noexcept { return memory_.size() / sizeof(T); }
  bool empty() const noexcept { return size() == 0; }
  T* begin() const noexcept { return data(); }
  T* end() const noexcept { return data() + size(); }
  T& operator[](std::size_t index) const noexcept { return data()[index]; }

  /// Waits for the lock; gives a `locked_array<T>`. Cancellation: the lock is not held.
  [[nodiscard]] detail::locked_operation<locked_array<T>, std::span<T>> locked() const {
    return {lock_.acquire(), memory_, span()};
  }
  const brood::lock& get_lock() const noexcept { return lock_; }

  friend bool operator==(const shared_array& a, const shared_array& b) { return a.memory_ == b.memory_; }

  template <class Archive>
  void save(Archive& archive) const {
    archive(memory_, lock_);
  }
  /// Throws `decode_error` if the bytes name no such values.
  template <class Archive>
  void load(Archive& archive) {
    archive(memory_, lock_);
    if (memory_.size() % sizeof(T) != 0) throw decode_error("a shared array of another type");
  }

 private:
  static std::size_t bytes_for(std::size_t count) {
    if (count > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw arena_full();
    return count * sizeof(T);
  }

  shared_buffer memory_;
  brood::lock lock_;
};

}  // namespace brood
