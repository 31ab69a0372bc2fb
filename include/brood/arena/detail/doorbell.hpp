// doorbell: the socket through which this process ends the sleep of others.
#pragma once

#include <cstdint>

#include "brood/export.hpp"

namespace brood::detail {

/// A datagram socket that sends to wake ports. It carries no data: a datagram says "look again".
class BROOD_API doorbell {
 public:
  doorbell() = default;
  ~doorbell() { close(); }
  doorbell(const doorbell&) = delete;
  doorbell& operator=(const doorbell&) = delete;

  /// Opens the socket if there is none. Throws `std::system_error`.
  void open();
  void close() noexcept;
  /// In a clone: the descriptor is that of the process it was cloned from.
  void forget() noexcept { socket_ = -1; }

  enum class outcome {
    sent,
    settled,  // needless: it wakes anyhow, or is dead
    not_yet,  // the system refuses it now: no room, no descriptor for a socket that has room, or any other reason
  };
  /// Sends a datagram to the wake port of this name. Does not wait.
  outcome press(const std::uint64_t (&name)[2]) noexcept;
  /// After `not_yet`: waits until it is worth trying again.
  void await_room() const noexcept;

 private:
  bool renew() noexcept;

  int socket_ = -1;
};

}  // namespace brood::detail
