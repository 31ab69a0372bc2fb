// this_service(): what an instance of a service says to whoever supervises it, as sd_notify(3) does.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood {

/// For functions that a supervisor runs, and for whole programs: a supervisor of brood's hears them as well as systemd does.
/// Where nobody supervises the process nothing happens. From any thread. Each says it by one message; it waits while the supervisor's
/// socket is full, but `alive`, which is dropped then.
class BROOD_API service_self {
 public:
  /// Whether anybody listens: NOTIFY_SOCKET is set.
  bool is_supervised() const noexcept;
  /// It serves from now on. For services with `.ready_when(readiness::notified)`.
  void ready() const noexcept;
  /// It is about to end by itself.
  void stopping() const noexcept;
  /// A line for whoever looks at `service::status()`.
  void status(std::string_view text) const noexcept;
  /// It goes on: to be said more often than each `watchdog()`.
  void alive() const noexcept;
  /// It needs so long from now for its start.
  void extend(std::chrono::microseconds d) const noexcept;
  /// How long it may be silent; nothing if nobody minds.
  std::optional<std::chrono::microseconds> watchdog() const noexcept;

  /// The listening socket that the supervisor holds for this service (`.listen`), the first one or that of the name: a
  /// descriptor of the caller's own, close-on-exec, each time another. Also in a program that was given them as
  /// sd_listen_fds(3) says. Throws `std::out_of_range` if there is none, and as `shared_fd::open` does.
  /// Cancellation: nothing was opened.
  task<unique_fd> listener(std::string_view name = {}) const;
};

BROOD_API service_self this_service() noexcept;

}  // namespace brood
