// from_callback: awaiting what an interface of callbacks does.
#pragma once

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/shielded.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/coroutine/oneshot.hpp"
#include "brood/coroutine/task.hpp"

namespace brood {

/// What `from_callback` gives to be called back: a pointer, which goes through a `void*` and back.
/// No member throws, as C stands between. To be called once: a second call does nothing only while who awaits the first has
/// not gone on.
/// Thread: the loop's; what comes on another one goes through `runtime::post`. Lifetime: until it was called.
template <class T = void>
class callback {
 public:
  explicit callback(oneshot<T>& result) noexcept : result_(&result) {}
  static callback from(void* data) noexcept { return callback(*static_cast<oneshot<T>*>(data)); }
  /// For the interface's pointer to the user's data.
  void* data() const noexcept { return result_; }

  /// `from_callback` gives this value. If making it throws, that is what `from_callback` throws.
  template <class... U>
  void operator()(U&&... value) const noexcept {
    if (result_->is_set()) return;
    try {
      result_->set(std::forward<U>(value)...);
    } catch (const wrong_thread&) {
      std::terminate();
    } catch (...) {
      result_->fail(std::current_exception());
    }
  }
  /// `from_callback` throws `why`.
  void fail(std::exception_ptr why) const noexcept {
    if (!result_->is_set()) result_->fail(std::move(why));
  }

 private:
  oneshot<T>* result_;
};

namespace detail {

struct no_cancel {};

template <class T, class Start, class Cancel>
task<T> await_callback(Start start, Cancel cancel) {
  const brood::stop_token token = co_await this_task::stop_token();
  if (token.stop_requested()) throw cancelled();
  oneshot<T> result;
  start(callback<T>(result));
  const auto stop = [&]() noexcept {
    if constexpr (!std::same_as<Cancel, no_cancel>) {
      const bool never_called = cancel();
      if (never_called) callback<T>(result).fail(std::make_exception_ptr(cancelled()));
    }
  };
  const stop_callback on_stop(token, stop);
  shielded end(result.get());
  co_return co_await end;
}

}  // namespace detail

/// Calls `start(callback<T>)`, which begins something and throws if it cannot, and waits until the callback was called:
/// in `start` or later. Gives its value, or throws its error.
/// Cancellation: none; once begun it ends when the callback comes, as the interface uses what the caller lent it.
/// Lifetime: owns `start`.
template <class T = void, class Start>
  requires std::invocable<std::decay_t<Start>&, callback<T>>
[[nodiscard]] task<T> from_callback(Start&& start) {
  detail::require_safe_function<Start>();
  return detail::await_callback<T, std::decay_t<Start>>(std::forward<Start>(start), detail::no_cancel());
}

/// The same for what can be cancelled. `cancel`, which must not throw, asks the interface to end soon. It returns true if
/// the callback will not come any more: then this throws `cancelled`. Else the callback is waited for, and decides.
template <class T = void, class Start, class Cancel>
  requires std::invocable<std::decay_t<Start>&, callback<T>> && std::predicate<std::decay_t<Cancel>&>
[[nodiscard]] task<T> from_callback(Start&& start, Cancel&& cancel) {
  detail::require_safe_function<Start, Cancel>();
  return detail::await_callback<T, std::decay_t<Start>, std::decay_t<Cancel>>(std::forward<Start>(start),
                                                                              std::forward<Cancel>(cancel));
}

}  // namespace brood
