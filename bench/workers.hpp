// Repeats an operation with a bounded number of them under way.
#pragma once

#include <brood/brood.hpp>

namespace bench {

namespace detail {
template <class Operation>
brood::task<> worker(int& left, Operation& operation) {
  while (left > 0) {
    --left;
    co_await operation();
  }
}
}  // namespace detail

/// Awaits `operation()` `count` times, at most `in_flight` at once.
template <class Operation>
brood::task<> repeat(int count, int in_flight, Operation operation) {
  int left = count;
  co_await brood::with_nursery([&](brood::nursery& workers) -> brood::task<> {
    for (int i = 0; i < in_flight && i < count; ++i) workers.start(detail::worker(left, operation));
    co_return;
  });
}

}  // namespace bench
