// forked: what the library knows in a process that the application made by a fork of its own.
#pragma once

#include <cstdint>

#include "brood/export.hpp"

namespace brood::detail {

/// The application forked this process by itself: it is nobody in the family, and whatever it inherited is its parent's.
/// It holds nothing, may use nothing, and what it drops is left alone.
BROOD_API extern bool forked;

/// Goes up in every fork and clone that inherits a runtime: what was made at another count is an ancestor's.
BROOD_API extern std::uint64_t forks;

}  // namespace brood::detail
