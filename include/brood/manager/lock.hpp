// managed::lock: a lock in a manager, and the guards of what is held there.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "brood/manager/detail/proxy.hpp"

namespace brood::managed {

class condition;

/// What was acquired over this process's connection, until it is released, dropped, or the connection is lost.
class hold {
 public:
  hold() = default;
  hold(hold&& other) noexcept : object_(std::move(other.object_)), id_(other.id_), epoch_(other.epoch_) {}
  hold& operator=(hold&& other) noexcept {
    hold taken(std::move(other));
    std::swap(object_, taken.object_);
    std::swap(id_, taken.id_);
    std::swap(epoch_, taken.epoch_);
    return *this;
  }
  ~hold() = default;

  /// False once it was released or moved from, and when the connection was lost: then others may have it.
  bool is_held() const noexcept { return object_ != nullptr && remote::present_epoch(*object_) == epoch_; }

 protected:
  explicit hold(remote::object_pointer object, std::uint64_t id) noexcept
      : object_(std::move(object)), id_(id), epoch_(object_->epoch) {}

  template <class Method>
  void give_back(Method method) noexcept {
    if (is_held()) {
      remote::request back(object_, method);
      back.count(id_);
      remote::post(back);
    }
    object_ = nullptr;
  }

  remote::object_pointer object_;
  std::uint64_t id_ = 0;
  std::uint64_t epoch_ = 0;
};

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
  friend class lock;
  friend class condition;
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
  auto acquire() const { return remote_call(about(method::acquire), to_guard(), &release); }
  /// An empty optional if somebody has it.
  auto try_acquire() const {
    return remote_call(about(method::try_acquire), to_optional_guard(), &release_if_held);
  }
  auto locked() const { return remote_call(about(method::locked), remote::to_flag()); }

 private:
  friend class condition;

  static lock_guard guard(remote::answer_reader& from) {
    const std::uint64_t id = from.count();
    return {from.target(), id, from.flag()};
  }
  struct to_guard {
    lock_guard operator()(remote::answer_reader& from) const { return guard(from); }
  };
  struct to_optional_guard {
    std::optional<lock_guard> operator()(remote::answer_reader& from) const {
      if (!from.flag()) return std::nullopt;
      return guard(from);
    }
  };

  remote::request about(method which) const { return remote::request(object(), which); }
  static void release(const remote::request& asked, std::span<const std::byte> body) {
    remote::answer_reader from(asked, body);
    guard(from).release();
  }
  static void release_if_held(const remote::request& asked, std::span<const std::byte> body) {
    remote::answer_reader from(asked, body);
    if (from.flag()) guard(from).release();
  }
};

}  // namespace brood::managed
