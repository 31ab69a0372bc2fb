// stop_point: what the kill fuzz does to a process at a kill point, besides killing it.
#pragma once

#include <cstdint>

namespace brood::detail {

#ifdef BROOD_KILL_FUZZ
/// Calls `stop` at the `steps`-th kill point from now, in the midst of whatever the process does there; 0 disarms. One that
/// returns goes on, and is armed no more.
void arm_stop_point(std::uint64_t steps, void (*stop)() noexcept) noexcept;
#endif

}  // namespace brood::detail
