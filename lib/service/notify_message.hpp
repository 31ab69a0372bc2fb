// What a datagram of sd_notify(3) says.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace brood::detail {

struct notify_message {
  bool ready = false;
  bool reloading = false;
  bool stopping = false;
  bool watchdog = false;  // it is alive
  bool trigger = false;   // it says itself that it hangs
  std::optional<std::string> status;
  std::optional<std::chrono::microseconds> extend;
  std::optional<std::chrono::microseconds> watchdog_limit;  // a new one; 0: none
};

/// Lines of NAME=value; what is not known is passed over, as the man page asks.
notify_message parse_notification(std::string_view text);

}  // namespace brood::detail
