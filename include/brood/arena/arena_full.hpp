// arena_full: shared memory has run out.
#pragma once

#include "brood/coroutine/error.hpp"
#include "brood/export.hpp"

namespace brood {

/// The arena (or the process table) has no room for what was asked. Nothing has changed.
class BROOD_API arena_full : public error {
 public:
  arena_full() : error("the shared memory arena is full; give brood::options a larger one") {}
  using error::error;
};

}  // namespace brood
