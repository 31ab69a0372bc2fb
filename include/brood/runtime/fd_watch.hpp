// fd_watch: readiness of a file descriptor, by callback. What streams, the reaper and the wake port are made of.
#pragma once

#include <functional>
#include <memory>

#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"

namespace brood {

class runtime;

/// Watches one descriptor on one runtime's loop (libuv's `uv_poll_t`; level-triggered).
/// Lifetime: the descriptor belongs to the caller and may be closed once this is destroyed or `watch(0)` was called.
/// Destroying it from inside its own callback is allowed, and after the runtime, with which it stops watching.
/// At most one watch for each descriptor.
class BROOD_API fd_watch {
 public:
  static constexpr int readable = 1;
  static constexpr int writable = 2;

  /// `on_ready` gets the events that are ready. An error or a hang-up counts as both, so that the next system call
  /// reports it. Throws `std::system_error` if the descriptor cannot be polled (a regular file).
  fd_watch(runtime& loop, int fd, std::function<void(int events)> on_ready);
  ~fd_watch();
  fd_watch(const fd_watch&) = delete;
  fd_watch& operator=(const fd_watch&) = delete;

  /// Which events to watch from now on; 0 for none. While any are watched the loop stays alive, unless `background`.
  /// Throws `std::logic_error` once the runtime has ended.
  void watch(int events);
  /// A watch that does not keep the loop alive.
  void background() noexcept;

 private:
  struct handle;
  handle* handle_;
};

/// Waits until one of `events` may be ready on `fd`: `fd_watch::readable`, `fd_watch::writable` or both; gives those that
/// are. An error or a hang-up counts as both. Throws `std::system_error` if the descriptor cannot be polled. The descriptor is
/// non-blocking from then on, as libuv makes it so.
/// Cancellation: nothing is lost. Lifetime: the descriptor belongs to the caller, stays open meanwhile, and has no other
/// watch.
[[nodiscard]] BROOD_API task<int> poll(int fd, int events);

}  // namespace brood
