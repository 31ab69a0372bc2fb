// Streams as wholes: from one to another, from a file, and in messages.
#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>

#include <array>

#include "brood/runtime/to_thread.hpp"
#include "runtime/stream_state.hpp"

namespace brood {
namespace {

using detail::stream_access;

constexpr std::size_t piece = 256 * 1024;

std::size_t up_to(std::uint64_t left) {
  return static_cast<std::size_t>(std::min<std::uint64_t>(left, piece));
}

bool is_ready(int fd, short events) noexcept {
  pollfd watched{fd, events, 0};
  return sys::poll(&watched, 1, 0) == 1;
}

task<std::uint64_t> copy_bytes(reader from, writer to, std::uint64_t most) {
  std::uint64_t total = 0;
  while (total < most) {
    std::string bytes = co_await from.read(up_to(most - total));
    if (bytes.empty()) break;
    total += bytes.size();
    co_await to.write(std::move(bytes));
  }
  co_return total;
}

/// Nothing if the kernel cannot do it for these two.
task<std::optional<std::uint64_t>> splice_all(reader from, writer to, std::uint64_t most) {
  auto* source = stream_access::of(from);
  auto* target = stream_access::of(to);
  std::uint64_t total = 0;
  while (total < most) {
    source->require_open();
    target->require_open();
    if (!source->rest().empty()) {  // it was read meanwhile, for a report of the writer's last words
      total += co_await copy_bytes(from, to, std::min<std::uint64_t>(most - total, source->rest().size()));
      continue;
    }
    const ssize_t count = sys::splice_quietly(source->fd.get(), target->fd.get(), up_to(most - total));
    const int error = errno;
    if (count > 0) {
      total += static_cast<std::uint64_t>(count);
    } else if (count == 0) {
      if (!source->rest().empty()) continue;
      break;
    } else if (error == EAGAIN) {
      // It does not say which of the two it was.
      if (is_ready(source->fd.get(), POLLIN)) {
        co_await target->wait();
      } else {
        co_await source->wait();
      }
    } else if (error == EPIPE || error == ECONNRESET) {
      throw closed("nobody reads the stream any more");
    } else if (error == EINVAL && total == 0) {
      co_return std::nullopt;
    } else if (error != EINTR) {
      sys::throw_errno("splice", error);
    }
  }
  co_return total;
}

std::string read_piece(const unique_fd& file, std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  for (;;) {
    const ssize_t count = sys::pread(file.get(), bytes.data(), size, static_cast<off_t>(offset));
    if (count >= 0) {
      bytes.resize(static_cast<std::size_t>(count));
      return bytes;
    }
    if (errno != EINTR) sys::throw_errno("pread");
  }
}

}  // namespace

task<std::uint64_t> copy(reader from, writer to, std::uint64_t most) {
  auto* source = stream_access::of(from);
  if (source == nullptr || stream_access::of(to) == nullptr) throw closed("the stream is not open");
  const std::uint64_t before = std::min<std::uint64_t>(most, source->rest().size());  // was read already
  std::uint64_t total = co_await copy_bytes(from, to, before);
  if (total == most || source->ended) co_return total;
  const auto spliced = co_await splice_all(from, to, most - total);
  if (spliced) co_return total + *spliced;
  const std::uint64_t rest = co_await copy_bytes(from, to, most - total);
  co_return total + rest;
}

task<std::uint64_t> write_file(writer to, std::filesystem::path path, std::uint64_t offset,
                               std::uint64_t most) {
  const auto open_it = [&] {
    unique_fd file(sys::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file) sys::throw_errno(fmt::format("brood: cannot read {}", path.string()));
    return file;
  };
  const unique_fd file = co_await to_thread(open_it);
  std::uint64_t total = 0;
  while (total < most) {
    const auto read_it = [&] { return read_piece(file, offset + total, up_to(most - total)); };
    std::string bytes = co_await to_thread(read_it);
    if (bytes.empty()) break;
    total += bytes.size();
    co_await to.write(std::move(bytes));
  }
  co_return total;
}

task<> write_frame(writer to, std::string bytes) {
  if (bytes.size() > 0xffff'ffff) throw std::length_error("brood: a frame holds 4 GiB at most");
  std::string message;
  message.reserve(bytes.size() + 4);
  for (int shift = 24; shift >= 0; shift -= 8)
    message.push_back(static_cast<char>(bytes.size() >> shift & 0xff));
  message += bytes;
  co_await to.write(std::move(message));
}

task<std::optional<std::string>> read_frame(reader from, std::size_t most) {
  auto self = stream_access::shared(from);
  stream_access::reader_state::require(self);
  // The length stays in the buffer until the whole message is there, so a wait that is cancelled loses nothing.
  const auto length = [&] {
    std::size_t result = 0;
    for (const char c : self->rest().substr(0, 4)) result = result << 8 | static_cast<unsigned char>(c);
    return result;
  };
  for (;;) {
    const bool known = self->rest().size() >= 4;
    if (known && length() > most)
      throw std::length_error(
          fmt::format("brood: a frame of {} bytes, where {} are the most", length(), most));
    if (known && self->rest().size() >= 4 + length()) break;
    const bool more = co_await stream_access::reader_state::fill(self, stream_access::reader_state::chunk);
    if (more) continue;
    if (self->rest().empty()) co_return std::nullopt;
    throw closed("the stream ended within a frame");
  }
  const std::size_t size = length();
  self->drop(4);
  co_return self->take(size);
}

}  // namespace brood
