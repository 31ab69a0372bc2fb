// What a supervisor does when a service ends: which services restart, when, and how often before it gives up.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>

#include "brood/coroutine/error.hpp"
#include "brood/export.hpp"

namespace brood {

/// Which services restart together. Those that do are stopped in reverse order and started in order, each when those
/// before it are ready.
enum class strategy : std::uint8_t {
  one_for_one,   ///< the one that ended
  rest_for_one,  ///< it and those started after it, which may depend on it
  one_for_all,   ///< all of them
};

/// Which ends of a service make its supervisor start it again.
enum class restart_when : std::uint8_t {
  always,
  on_failure,  ///< not after exit code 0, nor after a function that returned
  never,
};

/// How many restarts a supervisor allows, over all of its services. A restart is forgotten when its service has been
/// ready for `within` since. While a service waits for its back-off, or starts, nothing is forgotten: so however
/// long the pauses are, a service that never stays up uses up its restarts.
struct restart_intensity {
  std::size_t restarts = 5;
  std::chrono::nanoseconds within = std::chrono::seconds(10);

  static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);
};

/// The pause before a service starts again. None before the first restart, then `first`, and each `factor` times as
/// long as the one before, up to `longest`. It begins anew when the service's restarts have been forgotten, see
/// `restart_intensity`.
struct back_off {
  std::chrono::nanoseconds first = std::chrono::milliseconds(100);
  double factor = 2;
  std::chrono::nanoseconds longest = std::chrono::seconds(30);
  /// 0 to 1: so large a part of each pause is left to chance, so that many do not come back at once.
  double jitter = 0.2;
};

/// What a service does now.
enum class service_state : std::uint8_t {
  waiting,   ///< for its turn, or for its back-off
  starting,  ///< runs, and has not said that it is ready
  ready,
  stopping,  ///< was asked to stop; starts again afterwards if it restarts
  ended,     ///< by itself, and does not start again
  stopped,   ///< on request, with its supervisor, or because that gave up
};

/// "waiting", "ready", ...
BROOD_API const char* name_of(service_state state) noexcept;

/// When a service counts as ready, so that the next one may start.
enum class readiness : std::uint8_t {
  at_start,  ///< when its process exists
  notified,  ///< when it says so: `this_service().ready()`, or READY=1 as sd_notify(3) has it
};

/// A service has ended and does not start again: there is nothing to wait for any more.
class BROOD_API service_stopped : public error {
 public:
  using error::error;
};

/// A supervisor's services ended more often than it allows. All of them have been stopped.
class BROOD_API restart_limit : public error {
 public:
  restart_limit(const std::string& supervised, const std::string& why, std::exception_ptr last);
  /// The last death: `child_died`, `remote_error`, what a coroutine threw, or why it could not be started.
  const std::exception_ptr& last() const noexcept { return last_; }

 private:
  std::exception_ptr last_;
};

namespace detail {
/// What a service wants of its supervisor.
struct service_rules {
  restart_when restart = restart_when::always;
  back_off pauses;
  std::chrono::nanoseconds start_within = std::chrono::nanoseconds::max();
  std::chrono::nanoseconds stop_within = std::chrono::seconds(2);
  std::chrono::nanoseconds watchdog = std::chrono::nanoseconds::max();
};
}  // namespace detail

}  // namespace brood
