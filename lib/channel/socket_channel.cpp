#include "channel/socket_channel.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/shared_object.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/channel/detail/fd_object.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/runtime/runtime.hpp"
#include "channel/socket_service.hpp"
#include "system/descriptor.hpp"
#include "system/stream_socket.hpp"

namespace brood::detail {
namespace {

constexpr std::size_t first_try = 512;  // bytes of a message before its size is known

using outcome = sys::stream_result::outcome;

}  // namespace

bool outbox::flush(int socket) {
  while (!empty()) {
    sys::stream_result result{};
    try {
      result = sys::send_some(socket, std::span<const std::byte>(bytes).subspan(sent));
    } catch (const std::system_error& e) {
      // The peer has a part of the message, so the rest is sent as soon as there is memory for it.
      if (e.code().value() != ENOMEM && e.code().value() != ENOBUFS) throw;
      break;
    }
    if (result.state == outcome::gone) return false;
    if (result.state == outcome::would_block) break;
    sent += result.count;
  }
  if (empty()) {
    bytes.clear();
    sent = 0;
  }
  return true;
}

socket_channel::socket_channel(unique_fd socket, std::uint64_t longest, std::span<const std::byte> arrived)
    : socket_(std::move(socket)), longest_(longest), reader_(longest) {
  reader_.fill(arrived);
  runtime::current().use<socket_service>();  // made now, so that `close` needs nothing new
}

socket_channel::~socket_channel() { close(); }

outbound_message socket_channel::prepare(const message_writer& write) { return framed(write, longest_); }

object_name socket_channel::travel() {
  if (!socket_) throw closed();
  if (!outbox_.empty())
    throw error("a connection cannot travel while the rest of a message is still to be sent");
  // A message is encoded more than once, and must name the same object each time.
  const std::vector<std::byte> unread = reader_.unread();
  auto parcel = parcel_.lock();
  if (parcel == nullptr || !std::ranges::equal(parcel->unread(), unread)) {
    parcel = fd_object::create(family_memory::get(), sys::duplicate(socket_.get()), longest_, unread);
    parcel_ = parcel;
  }
  travelling_objects::note(parcel);
  return parcel->name();
}

outbound_message framed(const message_writer& write, std::uint64_t longest) {
  const travelling_objects handles;
  std::vector<std::byte> frame(frame_header_size + first_try);
  std::size_t size = write(std::span(frame).subspan(frame_header_size));
  if (size > longest) {
    throw error(
        fmt::format("a message of {} bytes, where this connection carries at most {}", size, longest));
  }
  const bool fits = size <= first_try;
  frame.resize(frame_header_size + size);
  if (!fits) size = write(std::span(frame).subspan(frame_header_size));
  if (frame.size() != frame_header_size + size)
    throw error("a message that changes its size while it is written");
  if (!handles.objects().empty())
    throw error("a handle to shared memory cannot leave its family through a socket");
  const auto header = frame_header(size);
  std::memcpy(frame.data(), header.data(), header.size());
  return frame;
}

channel_outcome socket_channel::try_send(outbound_message& message) {
  if (!socket_ || nobody_reads_) return channel_outcome::closed;
  if (!outbox_.empty()) return channel_outcome::wait;
  auto& frame = std::get<std::vector<std::byte>>(message);
  const auto result = sys::send_some(socket_.get(), frame);
  if (result.state == outcome::gone) {
    nobody_reads_ = true;
    return channel_outcome::closed;
  }
  if (result.state == outcome::would_block) return channel_outcome::wait;
  if (result.count < frame.size()) {
    outbox_.bytes = std::move(frame);
    outbox_.sent = result.count;
    watch_what_is_waited_for();
  }
  return channel_outcome::done;
}

/// Reads what is there; false if that is nothing. To be called when no message is complete.
bool socket_channel::receive_more() {
  const auto result = sys::receive_some(socket_.get(), reader_.space());
  if (result.state == outcome::done) reader_.filled(result.count);
  if (result.state == outcome::gone) no_more_arrives_ = true;
  return result.state == outcome::done;
}

/// A bad length is told once, and is the end: where the next message would begin is not known.
std::optional<std::vector<std::byte>> socket_channel::next_message() {
  try {
    return reader_.next();
  } catch (const decode_error&) {
    close();
    throw;
  }
}

channel_outcome socket_channel::try_receive(inbound_message& message) {
  if (!socket_) return channel_outcome::closed;
  for (;;) {
    if (auto next = next_message()) {
      message = inbound_message(std::move(*next));
      return channel_outcome::done;
    }
    if (no_more_arrives_) return channel_outcome::closed;
    if (!receive_more() && !no_more_arrives_) return channel_outcome::wait;
  }
}

bool socket_channel::is_readable() {
  while (socket_ && !no_more_arrives_) {
    if (reader_.has_next()) return true;
    if (!receive_more() && !no_more_arrives_) return false;
  }
  return true;
}

task<> socket_channel::wait(local_event& event, int& waiting) {
  struct count {
    socket_channel& self;
    int& waiting;
    count(socket_channel& channel, int& n) : self(channel), waiting(n) {
      ++waiting;
      self.watch_what_is_waited_for();
    }
    ~count() {
      --waiting;
      self.watch_what_is_waited_for();
    }
  };
  const count counted(*this, waiting);
  co_await event.wait();
}

task<> socket_channel::readable() {
  while (!is_readable()) co_await wait(readable_, readers_);
}

task<> socket_channel::writable() {
  // The outbox is not the only thing to wait for: the socket may be full of what the outbox held before.
  if (socket_ && !nobody_reads_) co_await wait(writable_, writers_);
}

void socket_channel::watch_what_is_waited_for() {
  if (!socket_) return;
  const int events =
      (readers_ > 0 ? fd_watch::readable : 0) | (writers_ > 0 || !outbox_.empty() ? fd_watch::writable : 0);
  if (!watch_) {
    if (events == 0) return;
    watch_.emplace(runtime::current(), socket_.get(), [this](int ready) { on_ready(ready); });
  }
  watch_->watch(events);
}

void socket_channel::on_ready(int events) {
  const bool wake_readers = (events & fd_watch::readable) != 0;
  bool wake_writers = false;
  if ((events & fd_watch::writable) != 0) {
    try {
      nobody_reads_ = nobody_reads_ || !outbox_.flush(socket_.get());
    } catch (const std::system_error&) {
      nobody_reads_ = true;
    }
    if (nobody_reads_) outbox_ = outbox();
    wake_writers = outbox_.empty();
  }
  if (wake_readers) readable_.notify_all();
  if (wake_writers) writable_.notify_all();
  // Who is woken has not run yet, and would be woken again and again until then: it says itself what it waits for next.
  watch_->watch((readers_ > 0 && !wake_readers ? fd_watch::readable : 0) |
                ((writers_ > 0 && !wake_writers) || !outbox_.empty() ? fd_watch::writable : 0));
}

void socket_channel::close() noexcept {
  if (!socket_) return;
  watch_.reset();
  if (!outbox_.empty()) {
    runtime* loop = runtime::current_or_null();
    auto* service = loop != nullptr ? loop->find<socket_service>() : nullptr;
    if (service != nullptr) service->send_and_close(std::move(socket_), std::exchange(outbox_, {}));
  }
  socket_.reset();
  readable_.notify_all();
  writable_.notify_all();
}

}  // namespace brood::detail
