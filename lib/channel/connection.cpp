// What connections do when they have to wait.
#include "brood/channel/connection.hpp"

#include "brood/coroutine/with_timeout.hpp"

namespace brood::detail {

object_name message_channel::travel() {
  throw error("brood: this connection cannot travel to other processes");
}

bool channel_step::await_ready() {
  static thread_local unsigned served = 0;
  if (++served % 256 == 0) return false;  // time to let the loop's other coroutines run
  tried_ = true;
  outcome_ = attempt();
  return outcome_ != channel_outcome::wait;
}

task<> channel_step::try_until_done() {
  if (tried_) {
    co_await wait();
  } else {
    co_await yield();  // only to let the others run
  }
  // Between an attempt that succeeds and the caller going on nothing can cancel it.
  while ((outcome_ = attempt()) == channel_outcome::wait) co_await wait();
}

task<bool> poll_channel(std::shared_ptr<message_channel> channel, clock::time_point limit) {
  if (channel->is_closed()) throw closed();
  if (channel->is_readable()) co_return true;
  const auto left = limit - clock::now();
  if (left <= left.zero()) {
    co_await yield();
    co_return channel->is_readable();
  }
  try {
    co_await with_timeout(left, channel->readable());
  } catch (const timed_out&) {
    co_return channel->is_readable();
  }
  co_return true;
}

}  // namespace brood::detail
