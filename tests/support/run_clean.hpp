// Runs a coroutine on a runtime of its own and checks that nothing of it is left afterwards.
#pragma once

#include "brood/runtime/runtime.hpp"
#include "catch.hpp"
#include "leftovers.hpp"

template <class Body>
void run_clean(Body body) {
  const leftovers before = leftovers::now();
  {
    brood::runtime loop;
    loop.run_until_complete(body());
  }
  CHECK(leftovers::now() == before);
}
