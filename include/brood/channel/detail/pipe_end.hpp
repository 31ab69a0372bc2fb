// pipe_end: a connection's channel in shared memory. A pipe is one queue for each direction and two ends; an end is a
// counted object that holds its queues, and closes them when it is taken apart.
//
//   processes and messages --count--> end A --+--> queue, A to B <--+-- end B <--count-- processes and messages
//                                             +--> queue, B to A <--+
//
// So the end of the stream needs nothing but what the arena does for every object: the last reference to an end may go
// by `close`, by a destructor, by a message that nobody took, or in the clean-up after a killed process; each
// way `destroy` runs, and runs again if its process is killed in it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "brood/channel/detail/message_channel.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// Payload of an end's block. Never changes once it is made, but for the references being cleared when it goes.
struct pipe_end_state {
  word in;  // counted references to queues (held::object), attached to the block; 0 where there is none
  word out;
};
static_assert(sizeof(pipe_end_state) == 16);

class BROOD_API pipe_end final : public shared_object,
                                 public message_channel,
                                 public std::enable_shared_from_this<pipe_end> {
 public:
  static constexpr std::uint8_t kind_number = pipe_end_kind;
  using queue = std::shared_ptr<queue_core>;

  /// A new end of these queues, of which one may be null.
  static std::shared_ptr<pipe_end> create(arena& memory, const queue& in, const queue& out);

  /// For `create`, which sets the queues.
  pipe_end(arena& memory, reference block, word& cell);
  pipe_end(arena& memory, object_name name);

  outbound_message prepare(const message_writer& write) override;
  channel_outcome try_send(outbound_message& message) override;
  channel_outcome try_receive(inbound_message& message) override;
  bool is_readable() override;
  task<> writable() override;
  task<> readable() override;
  void close() noexcept override;
  bool is_closed() const noexcept override { return closed_ || is_gone(); }
  object_name travel() override;

  bool receives() const noexcept { return in_ != nullptr; }
  bool sends() const noexcept { return out_ != nullptr; }

 private:
  queue in_;
  queue out_;
  bool closed_ = false;
};

}  // namespace brood::detail
