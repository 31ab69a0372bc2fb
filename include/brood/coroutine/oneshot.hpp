// oneshot<T>: one value that is handed over once, from a callback or a coroutine to a coroutine of the same loop.
#pragma once

#include <exception>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>

#include "brood/coroutine/detail/task_group.hpp"
#include "brood/coroutine/detail/waiter_list.hpp"

namespace brood {

/// Holds nothing, then a value or an error, then nothing again. Allocates nothing.
/// Thread: the one that uses it first; another one gets `wrong_thread`. Lifetime: must outlive who waits and who sets.
template <class T = void>
class oneshot {
  static_assert(!std::is_rvalue_reference_v<T>, "a oneshot gives a value, an lvalue reference or nothing");
  using stored = detail::value_or_unit<T>;
  class waiter;

 public:
  oneshot() = default;
  oneshot(const oneshot&) = delete;
  oneshot& operator=(const oneshot&) = delete;

  /// Gives the value to who waits, or will. Throws `std::logic_error` if there was a value or an error already.
  template <class U>
    requires std::constructible_from<stored, U&&>
  void set(U&& value) {
    require_empty();
    result_.template emplace<1>(std::forward<U>(value));
    decided();
  }
  void set()
    requires std::is_void_v<T>
  {
    set(std::monostate());
  }
  /// The same, but `get` throws `why`.
  void fail(std::exception_ptr why) {
    require_empty();
    result_.template emplace<2>(std::move(why));
    decided();
  }
  /// Whether it was set or has failed, also if that has been taken.
  bool is_set() const noexcept { return result_.index() != 0 || taken_; }

  /// Waits for the value and moves it out, or throws the error. Awaited once; throws `std::logic_error` if somebody else
  /// waits, or took it. Cancellation: nothing was taken, and another `get` may follow.
  [[nodiscard]] auto get() noexcept { return operation(*this); }

 private:
  class waiter : public detail::list_waiter<waiter> {
   public:
    explicit waiter(oneshot& from) noexcept : detail::list_waiter<waiter>(from.waiters_), from_(from) {}
    bool await_ready() const {
      from_.thread_.require();
      if (from_.taken_ || from_.promised_ || !from_.waiters_.empty()) {
        throw std::logic_error(
            "brood::oneshot: the value goes to one, and another one waits for it or took it");
      }
      return from_.result_.index() != 0;
    }
    T await_resume() {
      this->take();
      return from_.take_result();
    }
    bool give_back() noexcept {  // it is taken when the coroutine goes on
      from_.promised_ = false;
      return true;
    }

   private:
    oneshot& from_;
  };

  class operation {
   public:
    explicit operation(oneshot& from) noexcept : from_(from) {}
    waiter operator co_await() && {
      once_.spend();
      return waiter(from_);
    }

   private:
    oneshot& from_;
    detail::await_once once_;
  };

  void require_empty() {
    thread_.require();
    if (is_set()) throw std::logic_error("brood::oneshot: it was set before");
  }
  void decided() noexcept {
    promised_ = !waiters_.empty();
    waiters_.wake_all();
  }

  T take_result() {
    if (std::exchange(taken_, true)) {
      throw std::logic_error("brood::oneshot: the value goes to one, and another one took it");
    }
    if (auto* failure = std::get_if<2>(&result_)) std::rethrow_exception(std::move(*failure));
    if constexpr (!std::is_void_v<T>) {
      stored result = std::move(std::get<1>(result_));
      result_.template emplace<0>();
      return result;
    }
  }

  detail::one_thread thread_;
  detail::waiter_list<waiter> waiters_;
  std::variant<std::monostate, stored, std::exception_ptr> result_;
  bool promised_ = false;  // to who waited for it, and has not gone on yet
  bool taken_ = false;
};

}  // namespace brood
