// Where exceptions were thrown, if somebody has looked.
#pragma once

#include <exception>
#include <string>

#include "brood/export.hpp"

namespace brood::detail {

/// The stack at the throw of this exception, one frame a line; empty where the program is not linked with brood-traces.
std::string throw_trace(const std::exception_ptr& thrown) noexcept;

/// Who knows; set before `main` by the library brood-traces.
BROOD_API void set_throw_trace_source(std::string (*source)(const std::exception_ptr& thrown)) noexcept;

}  // namespace brood::detail
