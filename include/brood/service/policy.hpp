// What a supervisor does when a service ends: which services restart, when, and how often before it gives up.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "brood/coroutine/executor.hpp"

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

const char* name_of(service_state state) noexcept;

}  // namespace brood
