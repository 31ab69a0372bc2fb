#include "brood/service/this_service.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>

#include "service/listening.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"
#include "system/notification.hpp"

namespace brood {
namespace {

std::string_view variable(const char* name) noexcept {
  const char* value = std::getenv(name);
  return value != nullptr ? value : std::string_view();
}

void say(std::string_view text, bool surely = true) noexcept {
  sys::send_notification(variable("NOTIFY_SOCKET"), text, surely);
}

std::optional<long long> number_in(const char* name) noexcept {
  const std::string_view text = variable(name);
  long long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// The number of a descriptor that was passed as sd_listen_fds(3) says; -1 if there is none.
int passed_listener(std::string_view name) noexcept {
  const auto pid = number_in("LISTEN_PID");
  const auto count = number_in("LISTEN_FDS");
  if (!pid || *pid != getpid() || !count || *count <= 0) return -1;
  constexpr int first = 3;
  if (name.empty()) return first;
  std::string_view names = variable("LISTEN_FDNAMES");
  for (int number = first; number < first + *count; ++number) {
    const std::string_view each = names.substr(0, names.find(':'));
    if (each == name) return number;
    names.remove_prefix(std::min(names.size(), each.size() + 1));
  }
  return -1;
}

task<unique_fd> open_passed(int number) {
  if (number < 0) throw std::out_of_range("brood: no supervisor has given this process such a socket");
  unique_fd copy(sys::fcntl(number, F_DUPFD_CLOEXEC, sys::first_descriptor));
  if (!copy) sys::throw_errno("brood: cannot open a listener that was passed: fcntl");
  co_return copy;
}

}  // namespace

bool service_self::is_supervised() const noexcept { return !variable("NOTIFY_SOCKET").empty(); }
void service_self::ready() const noexcept { say("READY=1"); }
void service_self::stopping() const noexcept { say("STOPPING=1"); }
void service_self::alive() const noexcept { say("WATCHDOG=1", false); }

void service_self::status(std::string_view text) const noexcept {
  try {
    say("STATUS=" + std::string(text.substr(0, text.find('\n'))));
  } catch (const std::bad_alloc&) {
    // A status is for whoever looks: without memory there is none.
  }
}

void service_self::extend(std::chrono::microseconds d) const noexcept {
  char text[64] = "EXTEND_TIMEOUT_USEC=";
  constexpr std::size_t prefix = 20;
  const auto [end, error] = std::to_chars(text + prefix, text + sizeof text, d.count());
  if (error == std::errc()) say(std::string_view(text, static_cast<std::size_t>(end - text)));
}

std::optional<std::chrono::microseconds> service_self::watchdog() const noexcept {
  const auto pid = number_in("WATCHDOG_PID");  // somebody else's, if it is inherited
  const auto limit = number_in("WATCHDOG_USEC");
  if (!limit || *limit <= 0 || (pid && *pid != getpid())) return std::nullopt;
  return std::chrono::microseconds(*limit);
}

task<unique_fd> service_self::listener(std::string_view name) const {
  for (const auto& each : detail::listeners_of_process())
    if (name.empty() || each.name == name) return each.socket.open();
  return open_passed(passed_listener(name));
}

service_self this_service() noexcept { return {}; }

}  // namespace brood
