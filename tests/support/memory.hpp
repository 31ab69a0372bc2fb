// What tests of channels share: the family's memory for one test, and a loop that ends before it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "brood/arena/arena.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/runtime/runtime.hpp"
#include "catch.hpp"

namespace brood::test {

/// The family's memory for one test. Everything must be back at its end.
struct memory {
  explicit memory(std::size_t size = std::size_t{1} << 30) {
    if (family_memory::exists()) family_memory::detach();
    family_memory::create(size);
  }
  ~memory() {
    const auto s = family_memory::get().statistics();
    CHECK(s.blocks == chunks);
    CHECK(s.processes == 1);
    family_memory::detach();
  }
  std::uint64_t chunks = 0;  // this process may have asked for room for its own cells and wait entries
};

/// A handle that names an object already, as forks made before its first use would else each make one of their own.
template <class Handle>
Handle made() {
  const Handle handle;
  return Handle(handle);
}

/// A runtime that ends before the memory does.
template <class F>
void in_loop(F body) {
  runtime loop;
  loop.run_until_complete(body());
}

/// Whether awaiting `operation` throws `E`.
template <class E, class A>
task<bool> throws(A operation) {
  try {
    co_await std::move(operation);
  } catch (const E&) {
    co_return true;
  }
  co_return false;
}

}  // namespace brood::test
