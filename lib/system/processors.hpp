// How many processors there are to run on.
#pragma once

namespace brood::sys {

/// Processors that the calling thread may run on: its affinity mask. At least 1, also if that is unknown.
unsigned usable_processors() noexcept;

}  // namespace brood::sys
