// Runs a coroutine as `run_clean` does, and checks that nothing of it is left in shared memory either.
#pragma once

#include "arena_use.hpp"
#include "run_clean.hpp"

template <class Body>
void run_balanced(Body body) {
  const auto blocks = blocks_in_use();
  const auto processes = processes_in_use();
  run_clean(body);
  CHECK(blocks_in_use() == blocks);
  CHECK(processes_in_use() == processes);
}
