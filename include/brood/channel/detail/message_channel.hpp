// message_channel: what carries the messages of a connection, shared memory within the family or a socket
// beyond it. A connection<In, Out> encodes and decodes, and holds one of these.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "brood/channel/detail/queue_core.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// Writes one message into memory that the channel provides. Refers to the value; lives for one call only.
class message_writer {
 public:
  /// `write(std::span<std::byte> out)` gives the size of the message. If that is more than `out.size()`, the
  /// contents of `out` are of no use, and it is called again with more room.
  template <class Write>
  explicit message_writer(const Write& write) noexcept
      : object_(&write), call_([](const void* object, std::span<std::byte> out) -> std::size_t {
          return (*static_cast<const Write*>(object))(out);
        }) {}
  std::size_t operator()(std::span<std::byte> out) const { return call_(object_, out); }

 private:
  const void* object_;
  std::size_t (*call_)(const void*, std::span<std::byte>);
};

/// A message that was written and not sent yet: in shared memory, or in memory of this process. Moves only.
using outbound_message = std::variant<outgoing_message, std::vector<std::byte>>;

/// A message that was received: it lies in shared memory still, or in memory of this process. Moves only.
class inbound_message {
 public:
  inbound_message() = default;
  explicit inbound_message(std::vector<std::byte> bytes) : stored_(std::move(bytes)) {}

  std::span<const std::byte> bytes() const {
    if (const auto* shared = std::get_if<incoming_message>(&stored_)) return shared->bytes();
    return std::get<std::vector<std::byte>>(stored_);
  }
  /// Did it come from another family? What never lay in shared memory did.
  bool is_foreign() const noexcept { return std::holds_alternative<std::vector<std::byte>>(stored_); }
  /// For the channel in shared memory, to take into.
  incoming_message& shared() { return std::get<incoming_message>(stored_); }

 private:
  std::variant<incoming_message, std::vector<std::byte>> stored_;
};

enum class channel_outcome {
  done,
  wait,   // not now: await `writable` or `readable`, then try again
  closed  // never again: this side or the other is gone, and nothing is left to receive
};

/// Whole messages in order, never merged or split; an empty one counts. Several coroutines may send and
/// receive at once. Thread: the loop's. Lifetime: who awaits `writable` or `readable` keeps it alive.
/// The tries are synchronous and take effect at once or not at all; the waits take nothing and give only the
/// advice to try again, so whoever is cancelled has lost nothing.
class BROOD_API message_channel {
 public:
  virtual ~message_channel() = default;
  message_channel(const message_channel&) = delete;
  message_channel& operator=(const message_channel&) = delete;

  /// Writes the message to where it can be sent from. Throws what the writer throws, `arena_full`, and
  /// `error` for what this channel cannot carry (a handle through a socket, a message beyond its limit).
  virtual outbound_message prepare(const message_writer& write) = 0;
  /// Sends it whole; `done`: it is this channel's, also if the wire takes it later. Throws
  /// `std::system_error`.
  virtual channel_outcome try_send(outbound_message& message) = 0;
  /// Takes the next message. Throws `std::system_error`, `decode_error` for bytes that are no message.
  virtual channel_outcome try_receive(inbound_message& message) = 0;
  /// Whether `try_receive` would not say `wait`.
  virtual bool is_readable() = 0;

  /// Ends when `try_send` may no longer say `wait`.
  virtual task<> writable() = 0;
  /// Ends when `is_readable`.
  virtual task<> readable() = 0;

  /// This process needs it no longer: everything after it is `closed`, and those who wait are woken.
  virtual void close() noexcept = 0;
  virtual bool is_closed() const noexcept = 0;

  /// The name under which another process of the family may open it, noted in `travelling_objects`.
  /// Throws `error` if it cannot travel: the default, for channels that are this process's alone.
  virtual object_name travel();

 protected:
  message_channel() = default;
};

/// The channel of that name in this process: one end of a pipe. Throws `decode_error` if there is none, or if it
/// does not receive or send as it should.
BROOD_API std::shared_ptr<message_channel> open_channel(object_name name, bool receives, bool sends);

}  // namespace brood::detail
