// The errors of the coroutine storey, and the base every error of this library shares.
#pragma once

#include <stdexcept>
#include <utility>

#include "brood/export.hpp"

namespace brood {

/// Base of every error this library defines. The operating system's errors are `std::system_error` instead,
/// with the errno and the name of the call that failed.
class BROOD_API error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The operation was cancelled before it took effect: nothing was sent, taken or acquired.
class BROOD_API cancelled : public error {
 public:
  cancelled();
};

/// `with_timeout` ended before its operation did. The operation was cancelled and awaited first.
class BROOD_API timed_out : public error {
 public:
  timed_out() : error("the operation timed out") {}
};

/// The channel was closed, by this side or the other, and holds nothing more.
class BROOD_API closed : public error {
 public:
  closed() : error("the channel is closed") {}
  using error::error;
};

/// Something of one loop was used on a thread that does not run it. Nothing has happened.
class BROOD_API wrong_thread : public std::logic_error {
 public:
  wrong_thread();
};

/// This process was made by a `fork` of the application's own. What it inherited is its parent's, and it has no place in the
/// family: nothing of it can be used here. Nothing has happened.
class BROOD_API forked_process : public error {
 public:
  forked_process();
};

namespace detail {

/// In an operation that can be awaited once: what was awaited, or moved from, says so the second time.
class BROOD_API await_once {
 public:
  await_once() = default;
  await_once(const await_once&) = default;
  await_once& operator=(const await_once&) = default;
  await_once(await_once&& other) noexcept : spent_(std::exchange(other.spent_, true)) {}
  await_once& operator=(await_once&& other) noexcept {
    spent_ = std::exchange(other.spent_, true);
    return *this;
  }
  /// First line of an `operator co_await`. Throws `std::logic_error`.
  void spend() {
    if (std::exchange(spent_, true)) refuse();
  }

 private:
  [[noreturn]] static void refuse();
  bool spent_ = false;
};

}  // namespace detail

}  // namespace brood
