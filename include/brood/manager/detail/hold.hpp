// What a client holds in a manager, and the answers that give it something to hold.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "brood/manager/detail/proxy.hpp"

namespace brood::managed {

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
  hold(remote::object_pointer object, std::uint64_t id) noexcept
      : object_(std::move(object)), id_(id), epoch_(object_->epoch) {}

  template <class Method>
  void give_back(Method method) noexcept {
    if (is_held()) remote::give_back(object_, static_cast<std::uint64_t>(method), id_);
    object_ = nullptr;
  }

  remote::object_pointer object_;
  std::uint64_t id_ = 0;
  std::uint64_t epoch_ = 0;
};

}  // namespace brood::managed

namespace brood::remote {

/// `Guard::read` reads a guard out of an answer; its destructor gives back what it holds.
template <class Guard>
struct to_guard {
  Guard operator()(answer_reader& from) const { return Guard::read(from); }
};
template <class Guard>
struct to_optional_guard {
  std::optional<Guard> operator()(answer_reader& from) const {
    if (!from.flag()) return std::nullopt;
    return Guard::read(from);
  }
};

/// Undoes a call whose result nobody took.
template <class Finish>
void give_back(answer_reader& from) {
  static_cast<void>(Finish()(from));
}

}  // namespace brood::remote
