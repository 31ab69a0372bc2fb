// log_level: how much the library tells on standard error.
#pragma once

#include <cstdint>

namespace brood {

/// Set by `options::log` for the whole family. The environment variable BROOD_LOG (`silent`, `errors` or `debug`) wins.
enum class log_level : std::uint8_t {
  silent,  ///< nothing
  errors,  ///< what nobody else would hear of, such as the exception of a task that was started without a handler
  debug,  ///< also every spawn, start and end of a child, with the names of the processes
};

}  // namespace brood
