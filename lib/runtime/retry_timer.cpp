#include "runtime/retry_timer.hpp"

#include <algorithm>
#include <utility>

namespace brood::detail {
namespace {

constexpr clock::duration shortest_pause = std::chrono::milliseconds(1);
constexpr clock::duration longest_pause = std::chrono::milliseconds(64);

}  // namespace

retry_timer::retry_timer(executor& loop, std::function<bool()> attempt)
    : loop_(loop), attempt_(std::move(attempt)) {
  run = [](ready_node& node) noexcept {
    auto& self = static_cast<retry_timer&>(static_cast<timer_node&>(node));
    if (self.attempt_()) self.wait();
  };
}

void retry_timer::start() {
  pause_ = clock::duration::zero();
  wait();
}

void retry_timer::wait() {
  loop_.stop_timer(*this);
  due = clock::now() + pause_;
  loop_.start_timer(*this);
  pause_ = std::clamp(2 * pause_, shortest_pause, longest_pause);
}

}  // namespace brood::detail
