// One coroutine that waits for one descriptor.
#pragma once

#include "brood/coroutine/task.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"

namespace brood::detail {

/// Lifetime: ends before the descriptor does, and after every `wait`.
class fd_waiter {
 public:
  explicit fd_waiter(int fd)
      : watch_(runtime::current(), fd, [this](int) {
          watch_.watch(0);
          ready_.notify_all();
        }) {}

  /// Ends when one of `events` may be ready. Cancellation: nothing is lost.
  task<> wait(int events) {
    watch_.watch(events);
    try {
      co_await ready_.wait();
    } catch (...) {
      watch_.watch(0);
      throw;
    }
  }

 private:
  local_event ready_;
  fd_watch watch_;
};

}  // namespace brood::detail
