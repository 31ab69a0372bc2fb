// What a pool has done so far.
#pragma once

#include <cstdint>

namespace brood {

/// Counts since `open`, and of this moment. A task is one message to a worker: a chunk of items, or a single
/// call.
struct pool_statistics {
  std::uint32_t workers = 0;  // alive and past their initializer
  std::uint32_t busy = 0;     // of those: with a task
  std::uint64_t jobs = 0;     // calls of `map`, `apply`, ... that are not over
  std::uint64_t tasks_given = 0;
  std::uint64_t tasks_done = 0;  // with a result or an exception
  std::uint64_t tasks_lost = 0;  // with their worker; for good, or to be tried again
  std::uint64_t items_retried = 0;
  std::uint64_t tasks_stolen = 0;  // taken back from a worker that had not begun them, for another
  std::uint64_t workers_started = 0;
  std::uint64_t workers_died = 0;  // otherwise than by being told to end
  std::uint64_t deadlines_passed = 0;
};

}  // namespace brood
