// this_service(): what an instance of a service says to whoever supervises it, as sd_notify(3) does.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "brood/export.hpp"

namespace brood {

/// For functions that a supervisor runs, and for whole programs: a supervisor of brood's hears them as well as systemd does.
/// Where nobody supervises the process nothing happens. Any thread. Each says it by one message; it waits while the supervisor's
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
};

BROOD_API service_self this_service() noexcept;

}  // namespace brood
