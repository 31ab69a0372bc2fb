// A child of this process.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "brood/arena/codec.hpp"
#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/runtime/stream.hpp"

namespace brood {

class process_handle;

namespace detail {
class child;
class supervisor;
/// As `kill_tree`, but a child that may not be signalled is no longer waited for, and what waits for it is told why.
BROOD_API void kill_or_give_up(const process_handle& handle);
/// What a child that has ended left of a crash, if it did.
BROOD_API std::shared_ptr<const crash_record> crash_of(const process_handle& ended) noexcept;
/// To a pool's worker, whose task is asked to end.
BROOD_API void ask_task(const process_handle& worker) noexcept;
/// Waits for the child's end; gives the bytes of its result, which live as long as the child, or throws its error.
BROOD_API task<std::span<const std::byte>> result_bytes(const std::shared_ptr<child>& self);
}  // namespace detail

/// A child, whatever it runs. A small copyable value; copies name the same child, and so does one that was
/// moved from. Loop thread only. Lifetime: dropping the last handle leaves the child running under the
/// runtime, which reaps it.
class BROOD_API process_handle {
 public:
  /// To move is to copy: there is no handle without a child.
  process_handle(const process_handle&) = default;
  process_handle& operator=(const process_handle&) = default;

  /// The process id. Stays the child's own until its end has been observed here.
  pid_t pid() const noexcept;
  const std::string& name() const noexcept;
  /// Whether it is terminated, and not joined, when `run` ends.
  bool daemon() const noexcept;
  /// Whether its end has not been observed yet.
  bool is_alive() const noexcept;
  /// Nothing while it runs; `-N` if signal N ended it.
  std::optional<int> exitcode() const noexcept;

  /// Waits until the child has ended and been reaped. Any number of coroutines, any number of times.
  /// Cancellation: the child runs on.
  task<exit_status> join() const;

  /// SIGTERM, SIGKILL, SIGINT, any signal. Nothing happens if the child has ended. Throws `std::system_error` (EPERM) if it
  /// has become another user's, as a set-user-ID program does.
  void terminate() const;
  void kill() const;
  void interrupt() const;
  void send_signal(int signal) const;
  /// Asks the child to stop and waits for its end; when `limit` has passed (default: its `.stop_within`) it is killed with its
  /// tree. A function's coroutine is cancelled, and unwinds; a plain function sees `this_process().stop_requested()`; a
  /// program gets SIGTERM, or its `.stop_signal`. A child that was asked before is killed at once. Throws as above.
  /// Cancellation: it is asked all the same, and killed at its time; this waits no longer.
  task<exit_status> stop() const;
  template <class Rep, class Period>
  task<exit_status> stop(std::chrono::duration<Rep, Period> limit) const {
    return stop_until(detail::saturating_ceil<std::chrono::nanoseconds>(limit));
  }
  /// SIGKILL to the child, its process group and every descendant. Throws as above.
  void kill_tree() const;

  /// The last lines that it wrote to its standard error, at most 4 KiB, if that is `piped`; who reads it misses none. While it
  /// runs, and afterwards.
  std::string last_words() const;
  /// As `child_died::stack`: of a crash, whatever else its end was.
  std::string stack() const;

  /// The parent's ends of the streams that are `piped`; an empty stream for those that are not.
  /// They live as long as a handle of the child.
  writer& stdin_() const noexcept;
  reader& stdout_() const noexcept;
  reader& stderr_() const noexcept;

 protected:
  friend class detail::supervisor;
  task<exit_status> stop_until(std::chrono::nanoseconds limit) const;
  friend void detail::kill_or_give_up(const process_handle& handle);
  friend std::shared_ptr<const detail::crash_record> detail::crash_of(const process_handle& ended) noexcept;
  friend void detail::ask_task(const process_handle& worker) noexcept;
  explicit process_handle(std::shared_ptr<detail::child> child) noexcept : child_(std::move(child)) {}

  std::shared_ptr<detail::child> child_;
};

/// A child that runs a C++ function which gives an `R`.
template <class R = void>
class process : public process_handle {
 public:
  explicit process(std::shared_ptr<detail::child> child) noexcept : process_handle(std::move(child)) {}

  /// Waits until the child has ended; gives what its function returned, any number of times.
  /// Throws `remote_error` with what the function threw, `cancelled` if it was asked to stop and unwound, `child_died` if it ended without a result (a signal,
  /// `exit`), `decode_error` if its arguments or result could not be decoded.
  /// Cancellation: the child runs on.
  task<R> result() const { return decode_result(child_); }

 private:
  static task<R> decode_result(std::shared_ptr<detail::child> child) {
    const std::span<const std::byte> encoded = co_await detail::result_bytes(child);
    if constexpr (!std::is_void_v<R>) co_return decode<R>(encoded);
  }
};

}  // namespace brood
