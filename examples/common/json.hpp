// A text as JSON.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

/// In quotes. Bytes are passed on as they are: texts that are no UTF-8 give no valid JSON.
inline std::string json_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}
