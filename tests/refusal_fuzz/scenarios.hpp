// What is tried while something is refused.
#pragma once

#include <span>

#include "brood/coroutine/task.hpp"
#include "brood/process/run.hpp"

namespace refusal_fuzz {

struct scenario {
  const char* name;
  brood::task<> (*body)();  // throws if anything is wrong; what it made is gone when it ends
  brood::process_model model = brood::process_model::automatic;
  bool from_the_start = false;  // `init` is refused things too
};

std::span<const scenario> scenarios() noexcept;

/// Whether calls of the programs that are executed are refused too, as strace does. Then these may fail by themselves.
inline bool programs_are_refused = false;

/// A wrong result, which no refusal excuses.
struct wrong {
  const char* what;
};

}  // namespace refusal_fuzz
