#include "channel/moved_channel.hpp"

#include <utility>

#include "brood/coroutine/error.hpp"
#include "brood/runtime/runtime.hpp"

namespace brood::detail {

moved_channel::moved_channel(std::shared_ptr<fd_object> parcel)
    : parcel_(std::move(parcel)), longest_(parcel_->longest_message()) {}

task<> moved_channel::fetch(std::shared_ptr<moved_channel> self, std::shared_ptr<fd_object> parcel) {
  try {
    unique_fd socket = co_await fd_object::fetch(parcel);
    if (!self->closed_) {
      self->channel_ = std::make_shared<socket_channel>(std::move(socket), self->longest_, parcel->unread());
    }
  } catch (const closed&) {
    self->lost_ = true;
  } catch (...) {
    // Refused here or there: told to one who waits, and the next operation sends for it again.
    self->failure_ = std::current_exception();
    self->fetching_ = false;
    self->arrived_.notify_all();
    co_return;
  }
  parcel.reset();
  self->parcel_.reset();  // with it the descriptor that the other process kept for this one
  self->arrived_.set();
}

/// Is there something to be said of it? Sends for it at the first call.
bool moved_channel::has_arrived() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  if (closed_ || lost_ || channel_ != nullptr) return true;
  if (!std::exchange(fetching_, true)) runtime::current().start(fetch(shared_from_this(), parcel_));
  return false;
}

/// Null if it is closed or lost.
task<std::shared_ptr<socket_channel>> moved_channel::arrival() {
  const auto self = shared_from_this();
  while (!has_arrived()) co_await arrived_.wait();
  co_return closed_ ? nullptr : channel_;
}

outbound_message moved_channel::prepare(const message_writer& write) {
  if (is_closed()) throw closed();
  return framed(write, longest_);
}

channel_outcome moved_channel::try_send(outbound_message& message) {
  if (!has_arrived()) return channel_outcome::wait;
  return closed_ || lost_ ? channel_outcome::closed : channel_->try_send(message);
}

channel_outcome moved_channel::try_receive(inbound_message& message) {
  if (!has_arrived()) return channel_outcome::wait;
  return closed_ || lost_ ? channel_outcome::closed : channel_->try_receive(message);
}

bool moved_channel::is_readable() { return has_arrived() && (closed_ || lost_ || channel_->is_readable()); }

task<> moved_channel::writable() {
  const auto channel = co_await arrival();
  if (channel != nullptr) co_await channel->writable();
}

task<> moved_channel::readable() {
  const auto channel = co_await arrival();
  if (channel != nullptr) co_await channel->readable();
}

void moved_channel::close() noexcept {
  closed_ = true;
  parcel_.reset();
  if (channel_ != nullptr) channel_->close();
  arrived_.set();
}

/// Before it has arrived it is passed on as it came.
object_name moved_channel::travel() {
  if (is_closed() || lost_) throw closed();
  if (channel_ != nullptr) return channel_->travel();
  travelling_objects::note(parcel_);
  return parcel_->name();
}

}  // namespace brood::detail
