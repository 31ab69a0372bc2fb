#include "service/notify_message.hpp"

#include <charconv>
#include <cstdint>
#include <limits>

namespace brood::detail {
namespace {

/// Nothing if it is no number, or one that no clock can say.
std::optional<std::chrono::microseconds> microseconds_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  constexpr std::uint64_t most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 2000;
  if (number > most) return std::nullopt;
  return std::chrono::microseconds(number);
}

}  // namespace

notify_message parse_notification(std::string_view text) {
  notify_message result;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, equals);
    const std::string_view value = line.substr(equals + 1);
    if (name == "READY") result.ready |= value == "1";
    if (name == "RELOADING") result.reloading |= value == "1";
    if (name == "STOPPING") result.stopping |= value == "1";
    if (name == "WATCHDOG") result.watchdog |= value == "1";
    if (name == "WATCHDOG") result.trigger |= value == "trigger";
    if (name == "STATUS") result.status = std::string(value);
    if (name == "EXTEND_TIMEOUT_USEC") result.extend = microseconds_of(value);
    if (name == "WATCHDOG_USEC") result.watchdog_limit = microseconds_of(value);
  }
  return result;
}

}  // namespace brood::detail
