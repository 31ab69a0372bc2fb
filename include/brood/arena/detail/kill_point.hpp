// kill_point: where the kill fuzz may end a process. Every step of every primitive passes one.
#pragma once

#include <cstdint>

namespace brood::detail {

#ifdef BROOD_KILL_FUZZ
/// Ends this process with SIGKILL at the `steps`-th kill point from now; 0 disarms.
void arm_kill_point(std::uint64_t steps) noexcept;
/// Kill points passed since the process began.
std::uint64_t kill_points_passed() noexcept;
void kill_point() noexcept;
#else
constexpr void kill_point() noexcept {}
#endif

}  // namespace brood::detail
