#include "system/processors.hpp"

#include <sched.h>

#include <algorithm>
#include <array>

#include "system/calls.hpp"

namespace brood::sys {

unsigned usable_processors() noexcept {
  // The kernel refuses a mask that is shorter than its own; 8,192 processors are the most it can be built for.
  std::array<cpu_set_t, 8> mask{};
  if (sys::sched_getaffinity(0, sizeof mask, mask.data()) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT_S(sizeof mask, mask.data())));
}

}  // namespace brood::sys
