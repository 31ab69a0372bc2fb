// Lines on standard error: what nobody else would hear of, and with BROOD_LOG=debug what happens.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "brood/runtime/log.hpp"

namespace brood::detail {

/// How much to tell, and whose lines these are. One object a process; forks inherit it.
struct log_settings {
  log_level level = log_level::errors;
  const std::string& (*process_name)() = nullptr;
};
extern log_settings logging;

/// `level`, unless BROOD_LOG says otherwise. Throws `std::invalid_argument` if that is set to something else.
log_level chosen_log_level(log_level level);

/// One line with one write(2), so that lines of several processes do not mix; see `on_one_line`. `below` are lines
/// already, which nobody else has chosen.
void write_log_line(std::string_view text, std::string_view below = {}) noexcept;
/// The same behind the process's name, its pid and the time since the machine started.
void write_debug_line(const std::string& text) noexcept;

template <class... Arguments>
void log_error(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (logging.level >= log_level::errors)
    write_log_line(fmt::format(format, std::forward<Arguments>(arguments)...));
}

template <class... Arguments>
void log_debug(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (logging.level >= log_level::debug) [[unlikely]] {
    write_debug_line(fmt::format(format, std::forward<Arguments>(arguments)...));
  }
}

}  // namespace brood::detail
