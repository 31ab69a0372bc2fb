// retry_timer: for what nothing tells of, such as a descriptor that can be had again.
#pragma once

#include <functional>

#include "brood/coroutine/executor.hpp"

namespace brood::detail {

/// Calls a function again and again while it says that something is left to do: first in the next turn of the
/// loop, then after 1 ms, and ever less often, up to every 64 ms. What it throws is logged, once, and tried again as well. Lifetime: the loop outlives it; the
/// destructor stops it.
class retry_timer final : private timer_node {
 public:
  retry_timer(executor& loop, std::function<bool()> attempt);
  ~retry_timer() { loop_.stop_timer(*this); }
  retry_timer(const retry_timer&) = delete;
  retry_timer& operator=(const retry_timer&) = delete;

  /// There is something to do; begins again with the shortest pause.
  void start();

 private:
  void wait();
  bool is_left() noexcept;

  executor& loop_;
  std::function<bool()> attempt_;
  clock::duration pause_{};
  bool told_ = false;  // of a failure since the start
};

}  // namespace brood::detail
