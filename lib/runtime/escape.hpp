// Text that others chose, such as names and messages, in what the library writes.
#pragma once

#include <string>
#include <string_view>

#include "brood/export.hpp"

namespace brood::detail {

/// `text` as the inside of a JSON string; bytes that are no UTF-8 become U+FFFD.
std::string json_escaped(std::string_view text);
/// `text` on one line, for a person: control characters become `\n`, `\t` or `\x1b`, and so do bytes that are no UTF-8. So
/// it can neither look like a line of somebody else nor steer a terminal.
BROOD_API std::string on_one_line(std::string_view text);

}  // namespace brood::detail
