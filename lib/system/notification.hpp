// Datagrams to an abstract Unix address, with the sender's pid: the transport of sd_notify(3).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "brood/system/unique_fd.hpp"

namespace brood::sys {

struct notification_socket {
  unique_fd fd;
  std::string address;  // as NOTIFY_SOCKET says it: '@' for an abstract name
};

/// With a name that the kernel chooses, unix(7). Throws `std::system_error`.
notification_socket open_notification_socket();

struct notification {
  std::size_t size = 0;
  pid_t sender = 0;  // as the kernel says
};

/// The next one, if there is one. Descriptors that come with it are closed, which tells a sender that waits (BARRIER=1) that
/// it was read.
bool receive_notification(int socket, std::span<char> buffer, notification& message);

/// False if nobody is there, or without `wait` if there is no room.
bool send_notification(std::string_view address, std::string_view text, bool wait) noexcept;

}  // namespace brood::sys
