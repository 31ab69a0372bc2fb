// outcome<T>: what became of one task, a value or an exception.
#pragma once

#include <exception>
#include <optional>
#include <utility>
#include <variant>

#include "brood/coroutine/detail/task_group.hpp"

namespace brood {

/// A value, or the exception that there is instead: `remote_error` if the task threw, `child_died` if its
/// worker died, `decode_error` if its arguments could not be read. What the `collect` forms give for each
/// item.
template <class T>
class outcome {
 public:
  using stored = detail::value_or_unit<T>;

  /// Neither: what a task that has not ended has.
  outcome() = default;
  template <class... A>
  explicit outcome(std::in_place_t, A&&... arguments)
      : result_(std::in_place_index<1>, std::forward<A>(arguments)...) {}
  explicit outcome(std::exception_ptr why) : result_(std::move(why)) {}

  bool has_value() const noexcept { return result_.index() == 1; }
  explicit operator bool() const noexcept { return has_value(); }
  /// The exception, or null.
  std::exception_ptr error() const noexcept {
    return result_.index() == 2 ? *std::get_if<2>(&result_) : std::exception_ptr();
  }
  /// Throws the exception if there is no value.
  const T& value() const& {
    throw_if_failed();
    return std::get<1>(result_);
  }
  T value() && {
    throw_if_failed();
    return std::get<1>(std::move(result_));
  }
  const T& operator*() const { return value(); }

 private:
  void throw_if_failed() const {
    if (result_.index() == 2) std::rethrow_exception(std::get<2>(result_));
  }
  std::variant<std::monostate, stored, std::exception_ptr> result_;
};

/// The same without a value.
template <>
class outcome<void> {
 public:
  using stored = std::monostate;

  outcome() = default;
  explicit outcome(std::in_place_t, std::monostate = {}) noexcept : ended_(true) {}
  explicit outcome(std::exception_ptr why) : failure_(std::move(why)), ended_(true) {}

  bool has_value() const noexcept { return ended_ && failure_ == nullptr; }
  explicit operator bool() const noexcept { return has_value(); }
  std::exception_ptr error() const noexcept { return failure_; }
  void value() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
  bool ended_ = false;
};

}  // namespace brood
