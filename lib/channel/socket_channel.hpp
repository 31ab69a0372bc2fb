// socket_channel: the messages of a connection over a Unix or TCP socket.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "brood/channel/detail/fd_object.hpp"
#include "brood/channel/detail/message_channel.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/system/unique_fd.hpp"
#include "channel/framing.hpp"

namespace brood::detail {

/// A message that is on its way to the socket.
struct outbox {
  std::vector<std::byte> bytes;
  std::size_t sent = 0;

  bool empty() const noexcept { return sent == bytes.size(); }
  /// Sends what the socket takes; false if the other side is gone, and with it what was to be sent.
  bool flush(int socket);
};

/// The message with its frame. Throws what the writer throws, and `error` for a message longer than `longest`
/// or with a handle in it.
outbound_message framed(const message_writer& write, std::uint64_t longest);

/// A message is this channel's as soon as the socket has taken its first byte; the rest follows when the socket takes it,
/// also after `close` (for as long as the other side reads, and no longer than a few seconds without any progress).
/// The next message waits for that, which is where back-pressure is felt. A bad length from the other side ends the
/// channel: where the next message would begin is not known.
class socket_channel final : public message_channel {
 public:
  /// Takes over a connected, non-blocking socket after its handshake. `longest` message, in bytes, in both
  /// directions. `arrived`: what was read from it before.
  socket_channel(unique_fd socket, std::uint64_t longest, std::span<const std::byte> arrived = {});
  ~socket_channel() override;

  outbound_message prepare(const message_writer& write) override;
  channel_outcome try_send(outbound_message& message) override;
  channel_outcome try_receive(inbound_message& message) override;
  bool is_readable() override;
  task<> writable() override;
  task<> readable() override;
  void close() noexcept override;
  bool is_closed() const noexcept override { return !socket_; }
  /// Another process gets a descriptor of the socket, with what was read from it. Throws `error` while the
  /// rest of a message is still to be sent.
  object_name travel() override;

 private:
  void watch_what_is_waited_for();
  void on_ready(int events);
  bool receive_more();
  std::optional<std::vector<std::byte>> next_message();
  task<> wait(local_event& event, int& waiting);

  unique_fd socket_;
  std::uint64_t longest_;
  frame_reader reader_;
  outbox outbox_;
  bool no_more_arrives_ = false;
  bool nobody_reads_ = false;
  std::weak_ptr<fd_object> parcel_;  // in which it travels
  std::optional<fd_watch> watch_;
  local_event readable_;
  local_event writable_;
  int readers_ = 0;  // that wait
  int writers_ = 0;
};

}  // namespace brood::detail
