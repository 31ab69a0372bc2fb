// moved_channel: a connection over a socket that came from another process of the family. Its socket follows
// when it is first used, as that takes asking the process it comes from; until then it is like one on which
// nothing has arrived.
#pragma once

#include <exception>
#include <memory>

#include "brood/channel/detail/fd_object.hpp"
#include "brood/channel/detail/message_channel.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "channel/socket_channel.hpp"

namespace brood::detail {

class moved_channel final : public message_channel, public std::enable_shared_from_this<moved_channel> {
 public:
  explicit moved_channel(std::shared_ptr<fd_object> parcel);

  outbound_message prepare(const message_writer& write) override;
  channel_outcome try_send(outbound_message& message) override;
  channel_outcome try_receive(inbound_message& message) override;
  bool is_readable() override;
  task<> writable() override;
  task<> readable() override;
  void close() noexcept override;
  bool is_closed() const noexcept override {
    return closed_ || (channel_ != nullptr && channel_->is_closed());
  }
  object_name travel() override;

 private:
  static task<> fetch(std::shared_ptr<moved_channel> self, std::shared_ptr<fd_object> parcel);
  bool has_arrived();
  task<std::shared_ptr<socket_channel>> arrival();

  std::shared_ptr<fd_object> parcel_;  // until the socket is here
  std::uint64_t longest_;
  std::shared_ptr<socket_channel> channel_;
  std::exception_ptr failure_;
  bool fetching_ = false;
  bool closed_ = false;
  bool lost_ = false;  // its process ended before it gave the socket: as if the other side had gone
  local_event arrived_;
};

}  // namespace brood::detail
