// The awaitables of connection<In, Out>, around a message_channel.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "brood/channel/detail/message_channel.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// A step that tries without a coroutine of its own, and takes one only if it has to wait.
class BROOD_API channel_step {
 public:
  channel_step(const channel_step&) = delete;
  channel_step& operator=(const channel_step&) = delete;

  bool await_ready();
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) {
    waiting_.emplace(try_until_done());
    return waiting_->await_suspend(h);
  }

 protected:
  explicit channel_step(std::shared_ptr<message_channel> channel) noexcept : channel_(std::move(channel)) {}
  ~channel_step() = default;

  virtual channel_outcome attempt() = 0;
  virtual task<> wait() = 0;

  /// First line of every `await_resume`. True if something was sent or received, false if the channel is closed.
  bool take() {
    if (waiting_) waiting_->await_resume();
    return outcome_ == channel_outcome::done;
  }

  std::shared_ptr<message_channel> channel_;

 private:
  task<> try_until_done();

  std::optional<owned_task<void>> waiting_;
  channel_outcome outcome_ = channel_outcome::wait;
  bool tried_ = false;
};

class send_awaiter final : public channel_step {
 public:
  send_awaiter(std::shared_ptr<message_channel> channel, outbound_message message)
      : channel_step(std::move(channel)), message_(std::move(message)) {}
  void await_resume() {
    if (!take()) throw closed();
  }

 private:
  channel_outcome attempt() override { return channel_->try_send(message_); }
  task<> wait() override { return channel_->writable(); }

  outbound_message message_;
};

/// What `send` gives: the message is written already.
class send_operation {
 public:
  send_operation(std::shared_ptr<message_channel> channel, const message_writer& write)
      : channel_(std::move(channel)), message_(channel_->prepare(write)) {}
  send_awaiter operator co_await() && {
    once_.spend();
    return send_awaiter(std::move(channel_), std::move(message_));
  }

 private:
  std::shared_ptr<message_channel> channel_;
  outbound_message message_;
  brood::detail::await_once once_;
};

/// `Finish` makes the result: of the message, or of null if the channel is closed.
template <class Finish>
class receive_awaiter final : public channel_step {
 public:
  receive_awaiter(std::shared_ptr<message_channel> channel, Finish finish)
      : channel_step(std::move(channel)), finish_(std::move(finish)) {}
  auto await_resume() { return finish_(this->take() ? &message_ : nullptr); }

 private:
  channel_outcome attempt() override { return channel_->try_receive(message_); }
  task<> wait() override { return channel_->readable(); }

  Finish finish_;
  inbound_message message_;
};

template <class Finish>
class receive_operation {
 public:
  receive_operation(std::shared_ptr<message_channel> channel, Finish finish)
      : channel_(std::move(channel)), finish_(std::move(finish)) {}
  receive_awaiter<Finish> operator co_await() && {
    once_.spend();
    return {std::move(channel_), std::move(finish_)};
  }

 private:
  std::shared_ptr<message_channel> channel_;
  Finish finish_;
  brood::detail::await_once once_;
};

}  // namespace brood::detail
