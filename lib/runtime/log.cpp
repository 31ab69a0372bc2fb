#include "runtime/log.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

#include "runtime/escape.hpp"
#include "system/calls.hpp"

namespace brood::detail {

log_settings logging;

log_level chosen_log_level(log_level level) {
  const char* variable = secure_getenv("BROOD_LOG");
  if (variable == nullptr || *variable == '\0') return level;
  const std::string_view word = variable;
  if (word == "silent") return log_level::silent;
  if (word == "errors") return log_level::errors;
  if (word == "debug") return log_level::debug;
  throw std::invalid_argument(
      fmt::format("brood: BROOD_LOG is \"{}\"; it may be silent, errors or debug", word));
}

void write_log_line(std::string_view text, std::string_view below) noexcept {
  try {
    std::string line = "brood: " + on_one_line(text) + "\n";
    if (!below.empty()) line.append(below) += '\n';
    static_cast<void>(
        !sys::write(STDERR_FILENO, line.data(), line.size()));  // nobody could be told of a failure
  } catch (...) {
  }
}

void write_debug_line(const std::string& text) noexcept {
  try {
    const std::chrono::duration<double> now = std::chrono::steady_clock::now().time_since_epoch();
    static const std::string unknown = "?";
    const std::string& name = logging.process_name != nullptr ? logging.process_name() : unknown;
    write_log_line(fmt::format("{:.6f} {} ({}): {}", now.count(), name, getpid(), text));
  } catch (...) {
  }
}

}  // namespace brood::detail
