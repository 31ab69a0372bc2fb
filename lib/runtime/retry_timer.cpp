#include "runtime/retry_timer.hpp"

#include <algorithm>
#include <utility>

#include "brood/runtime/detail/describe.hpp"
#include "runtime/log.hpp"

namespace brood::detail {
namespace {

constexpr clock::duration shortest_pause = std::chrono::milliseconds(1);
constexpr clock::duration longest_pause = std::chrono::milliseconds(64);

}  // namespace

retry_timer::retry_timer(executor& loop, std::function<bool()> attempt)
    : loop_(loop), attempt_(std::move(attempt)) {
  run = [](ready_node& node) noexcept {
    auto& self = static_cast<retry_timer&>(static_cast<timer_node&>(node));
    if (self.is_left()) self.wait();
  };
}

bool retry_timer::is_left() noexcept {
  try {
    return attempt_();
  } catch (...) {  // nobody awaits it
    if (!std::exchange(told_, true)) {
      try {
        log_error("what failed is tried again: {}", describe(std::current_exception()));
      } catch (...) {  // no memory for the text
      }
    }
    return true;
  }
}

void retry_timer::start() {
  pause_ = clock::duration::zero();
  told_ = false;
  wait();
}

void retry_timer::wait() {
  loop_.stop_timer(*this);
  due = clock::now() + pause_;
  loop_.start_timer(*this);
  pause_ = std::clamp(2 * pause_, shortest_pause, longest_pause);
}

}  // namespace brood::detail
