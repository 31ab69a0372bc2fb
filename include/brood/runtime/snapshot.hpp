// snapshot: what is alive in a process at one moment. See runtime::snapshot.
#pragma once

#include <cstdint>
#include <vector>

#include "brood/export.hpp"

namespace brood {

class runtime;

/// Counts of one moment; other processes go on meanwhile.
struct snapshot {
  /// A queue that this process has a handle of; each direction of a pipe is one.
  struct queue {
    std::uint64_t items = 0;
    std::uint64_t capacity = 0;           ///< the largest number there is if unbounded
    std::uint64_t waiting_consumers = 0;  ///< coroutines, of all processes
    std::uint64_t waiting_producers = 0;
  };
  /// The shared memory of the family.
  struct memory {
    std::uint64_t bytes_total = 0;     ///< address space
    std::uint64_t bytes_used = 0;      ///< in blocks
    std::uint64_t bytes_resident = 0;  ///< in pages that exist
    std::uint64_t blocks = 0;
    std::uint64_t processes = 0;  ///< that have a place in it, or will
  };

  std::uint64_t tasks = 0;     ///< started with `runtime::start` and not ended
  std::uint64_t children = 0;  ///< of this process, alive
  std::uint64_t starting = 0;  ///< asked for and not yet there
  std::uint64_t waiters = 0;   ///< coroutines of this process that wait for something in shared memory
  std::vector<queue> queues;
  memory arena;
};

namespace detail {
/// Adds what a storey above knows. `add` must be the same function for the whole life of the process.
BROOD_API void add_snapshot_source(void (*add)(runtime&, snapshot&)) noexcept;
}  // namespace detail

}  // namespace brood
