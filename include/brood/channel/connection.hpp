// connection<In, Out>: one end of a pipe, or of a socket between unrelated processes. Receives In, sends Out.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "brood/arena/codec.hpp"
#include "brood/channel/detail/connection_operations.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"

namespace brood {

/// A message was larger than the caller had room for. It is not lost: it is in here.
class BROOD_API buffer_too_short : public error {
 public:
  explicit buffer_too_short(std::span<const std::byte> message)
      : error("the message is larger than the buffer for it"),
        message_(std::make_shared<const bytes>(message.begin(), message.end())) {}
  /// The whole message.
  const bytes& message() const noexcept { return *message_; }

 private:
  std::shared_ptr<const bytes> message_;
};

namespace detail {

inline constexpr std::size_t any_size = std::numeric_limits<std::size_t>::max();

inline const inbound_message& message_or_closed(const inbound_message* message) {
  if (message == nullptr) throw closed();
  return *message;
}

/// Throws `decode_error` also for a handle that comes from outside the family.
template <class T>
T decode_message(const inbound_message& message) {
  const decoding_scope scope(message.is_foreign());
  return decode<T>(message.bytes());
}

template <class T>
struct to_value {
  T operator()(const inbound_message* message) const { return decode_message<T>(message_or_closed(message)); }
};

template <class T>
struct to_optional {
  std::optional<T> operator()(const inbound_message* message) const {
    if (message == nullptr) return std::nullopt;
    return decode_message<T>(*message);
  }
};

struct to_bytes {
  std::size_t most;
  bytes operator()(const inbound_message* message) const {
    const auto all = message_or_closed(message).bytes();
    if (all.size() > most) throw buffer_too_short(all);
    return bytes(all.begin(), all.end());
  }
};

struct to_buffer {
  std::span<std::byte> buffer;
  std::size_t operator()(const inbound_message* message) const {
    const auto all = message_or_closed(message).bytes();
    if (all.size() > buffer.size()) throw buffer_too_short(all);
    std::copy(all.begin(), all.end(), buffer.begin());
    return all.size();
  }
};

/// True once the channel is readable, false after `limit`.
BROOD_API task<bool> poll_channel(std::shared_ptr<message_channel> channel, clock::time_point limit);

/// `all` from `offset` on, `size` bytes or all. Throws `std::out_of_range` beyond its end.
template <class Byte>
std::span<Byte> part_of(std::span<Byte> all, std::size_t offset, std::size_t size) {
  if (offset > all.size())
    throw std::out_of_range("brood::connection: an offset beyond the end of the bytes");
  if (size == any_size) size = all.size() - offset;
  if (size > all.size() - offset)
    throw std::out_of_range("brood::connection: a size beyond the end of the bytes");
  return all.subspan(offset, size);
}

}  // namespace detail

/// A small handle: copies name the same end, in this process, in others and inside messages. `void` stands for a
/// direction there is not. Messages arrive whole and in order, typed or raw; an empty one counts. Several
/// coroutines and processes may share an end; each message goes to one of them.
/// End of the stream: an end is gone when its last handle is, by `close`, dropped or with its process, also a
/// killed one; a handle inside a message on its way counts. Then the other end sends no more, and receives what was
/// sent before, then `closed`. So give your copy of the other end up after you passed it on, or you will not see it go.
/// An end inside a message of its own pipe keeps the pipe for ever.
/// Cancellation, of every operation: nothing was sent, nothing was received. Thread: the one that runs this
/// process's loop. Lifetime: an awaitable keeps the connection alive. One made by default names none: `closed`.
template <class In, class Out = In>
class connection {
 public:
  connection() = default;
  /// For those who make connections, such as `pipe` and `connect`.
  explicit connection(std::shared_ptr<detail::message_channel> channel) noexcept
      : channel_(std::move(channel)) {}

  // ---- values ----

  /// Waits while as many messages are on their way as the channel holds. Throws `closed`. The value is encoded here,
  /// so it need not live on; a large one straight into shared memory.
  template <class U = Out>
    requires(!std::is_void_v<Out> && std::convertible_to<U &&, const Out&>)
  [[nodiscard]] detail::send_operation send(U&& value) const {
    detail::require_safe_temporary<U>();
    const Out& given = value;
    return write([&given](std::span<std::byte> out) { return encode_into(out, given); });
  }
  /// False if it would have to wait. Throws `closed`.
  template <class U = Out>
    requires(!std::is_void_v<Out> && std::convertible_to<U &&, const Out&>)
  bool try_send(U&& value) const {
    detail::require_safe_temporary<U>();
    const Out& given = value;
    return try_write([&given](std::span<std::byte> out) { return encode_into(out, given); });
  }

  /// Waits for a message. Throws `closed` once the other side is gone and all is drained.
  [[nodiscard]] auto recv() const
    requires(!std::is_void_v<In>)
  {
    return receive(detail::to_value<In>());
  }
  /// The same, but an empty optional instead of `closed`.
  [[nodiscard]] auto next() const
    requires(!std::is_void_v<In>)
  {
    return receive(detail::to_optional<In>());
  }
  /// Empty if no message is there. Throws `closed`.
  auto try_recv() const
    requires(!std::is_void_v<In>)
  {
    return try_receive(detail::to_optional<In>());
  }

  // ---- raw bytes ----

  /// As `send`, for the bytes from `offset` on, `size` of them or all. Throws `std::out_of_range`.
  [[nodiscard]] detail::send_operation send_bytes(std::span<const std::byte> message, std::size_t offset = 0,
                                                  std::size_t size = detail::any_size) const
    requires(!std::is_void_v<Out>)
  {
    const auto part = detail::part_of(message, offset, size);
    return write([part](std::span<std::byte> out) {
      if (part.size() <= out.size()) std::copy(part.begin(), part.end(), out.begin());
      return part.size();
    });
  }
  /// As `recv`; a message of more than `most` bytes gives `buffer_too_short`, with the message in it.
  [[nodiscard]] auto recv_bytes(std::size_t most = detail::any_size) const
    requires(!std::is_void_v<In>)
  {
    return receive(detail::to_bytes{most});
  }
  /// Into `buffer` from `offset` on; gives the size of the message. Throws `buffer_too_short`, and at once
  /// `std::out_of_range`. The buffer must live until then.
  [[nodiscard]] auto recv_bytes_into(std::span<std::byte> buffer, std::size_t offset = 0) const
    requires(!std::is_void_v<In>)
  {
    return receive(detail::to_buffer{detail::part_of(buffer, offset, detail::any_size)});
  }

  // ---- both ----

  /// Whether `recv` would not have to wait, be it for a message or to say `closed`. Waits for that until `limit` is
  /// over; with zero or less it only looks, having let the loop's other coroutines run.
  [[nodiscard]] task<bool> poll() const
    requires(!std::is_void_v<In>)
  {
    return poll(clock::duration::zero());
  }
  template <class Rep, class Period>
    requires(!std::is_void_v<In>)
  [[nodiscard]] task<bool> poll(std::chrono::duration<Rep, Period> limit) const {
    return detail::poll_channel(channel(), detail::time_after(limit));
  }

  /// This process's handles of this end name nothing any more; those who wait here get `closed`. Other processes
  /// keep theirs. Closing twice is fine.
  void close() const noexcept {
    if (channel_ != nullptr) channel_->close();
  }
  bool is_closed() const noexcept { return channel_ == nullptr || channel_->is_closed(); }

  friend bool operator==(const connection&, const connection&) = default;

  /// Throws `closed`. A connection over a socket throws `error` while the rest of a message is still to be sent, and moves:
  /// whoever passes it on neither sends nor receives any more, closes it, and lives until the other has used it.
  template <class Archive>
  void save(Archive& archive) const {
    const detail::object_name name = channel()->travel();
    archive(name.block, name.generation);
  }
  /// Throws `decode_error` if the bytes name no such end.
  template <class Archive>
  void load(Archive& archive) {
    detail::object_name name;
    archive(name.block, name.generation);
    channel_ = detail::open_channel(name, !std::is_void_v<In>, !std::is_void_v<Out>);
  }

 private:
  const std::shared_ptr<detail::message_channel>& channel() const {
    if (channel_ == nullptr) throw closed();
    return channel_;
  }

  template <class Write>
  detail::send_operation write(const Write& writer) const {
    return detail::send_operation(channel(), detail::message_writer(writer));
  }
  template <class Write>
  bool try_write(const Write& writer) const {
    auto message = channel()->prepare(detail::message_writer(writer));
    const auto outcome = channel_->try_send(message);
    if (outcome == detail::channel_outcome::closed) throw closed();
    return outcome == detail::channel_outcome::done;
  }

  template <class Finish>
  detail::receive_operation<Finish> receive(Finish finish) const {
    return {channel(), std::move(finish)};
  }
  template <class Finish>
  auto try_receive(Finish finish) const {
    detail::inbound_message message;
    const auto outcome = channel()->try_receive(message);
    if (outcome == detail::channel_outcome::closed) throw closed();
    return finish(outcome == detail::channel_outcome::done ? &message : nullptr);
  }

  std::shared_ptr<detail::message_channel> channel_;
};

/// The ends of a one-way pipe. What they cannot do they do not have.
template <class T>
using receiver = connection<T, void>;
template <class T>
using sender = connection<void, T>;

}  // namespace brood
