#include "channel/framing.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "brood/arena/codec.hpp"

namespace brood::detail {

std::array<std::byte, frame_header_size> frame_header(std::uint64_t size) noexcept {
  std::array<std::byte, frame_header_size> result;
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<std::byte>(size >> (8 * i));
  return result;
}

std::uint64_t frame_reader::announced_size() const noexcept {
  std::uint64_t size = 0;
  for (std::size_t i = frame_header_size; i-- > 0;) {
    size = size << 8 | std::to_integer<std::uint64_t>(buffer_[begin_ + i]);
  }
  return size;
}

std::span<std::byte> frame_reader::space() {
  in_place_ = {};
  if (started_) {
    // Doubling: no more is taken than has come, and a large message is moved a few times only.
    if (arrived_ == message_.size()) {
      message_.resize(
          static_cast<std::size_t>(std::min(size_, std::max<std::uint64_t>(2 * arrived_, buffer_size))));
    }
    return std::span(message_).subspan(static_cast<std::size_t>(arrived_));
  }
  if (!buffer_) buffer_ = std::make_unique<std::byte[]>(buffer_size);
  if (begin_ != 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, buffered());
    end_ -= std::exchange(begin_, 0);
  }
  return {buffer_.get() + end_, buffer_size - end_};
}

void frame_reader::filled(std::size_t count) noexcept {
  if (started_) {
    arrived_ += count;
  } else {
    end_ += count;
  }
}

std::vector<std::byte> frame_reader::unread() const {
  if (!started_) return std::vector(buffer_.get() + begin_, buffer_.get() + end_);
  const auto header = frame_header(size_);
  std::vector<std::byte> all(header.begin(), header.end());
  all.insert(all.end(), message_.begin(), message_.begin() + static_cast<std::ptrdiff_t>(arrived_));
  return all;
}

void frame_reader::fill(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto room = space();
    const std::size_t count = std::min(room.size(), bytes.size());
    if (count == 0) throw error("more bytes than a reader can have left");
    std::memcpy(room.data(), bytes.data(), count);
    filled(count);
    bytes = bytes.subspan(count);
    has_next();  // a large message gets a place of its own
  }
}

bool frame_reader::has_next() {
  if (!started_) start_large_message();
  if (started_) return arrived_ == size_;
  if (buffered() < frame_header_size) return false;
  const std::uint64_t size = announced_size();
  return size > longest_ || buffered() - frame_header_size >= size;
}

/// If what the buffer holds is the beginning of a message that the buffer cannot hold, moves it to a place of its own.
void frame_reader::start_large_message() {
  if (buffered() < frame_header_size) return;
  const std::uint64_t size = announced_size();
  const std::size_t present = buffered() - frame_header_size;
  if (size > longest_ || size <= buffer_size - frame_header_size || present >= size) return;
  const std::byte* body = buffer_.get() + begin_ + frame_header_size;
  message_.assign(body, body + present);
  begin_ = end_ = 0;
  started_ = true;
  size_ = size;
  arrived_ = present;
}

/// Takes the message that is in the buffer; gives where it ends there.
std::size_t frame_reader::taken_from_buffer() {
  const std::uint64_t size = announced_size();
  if (size > longest_) {
    throw decode_error(fmt::format("a message of {} bytes, where at most {} are allowed", size, longest_));
  }
  begin_ += frame_header_size + static_cast<std::size_t>(size);
  return begin_;
}

std::optional<std::vector<std::byte>> frame_reader::next() {
  if (!has_next()) return std::nullopt;
  if (started_) {
    started_ = false;
    return std::exchange(message_, {});
  }
  const std::byte* body = buffer_.get() + begin_ + frame_header_size;
  return std::vector(body, static_cast<const std::byte*>(buffer_.get() + taken_from_buffer()));
}

std::optional<std::span<const std::byte>> frame_reader::next_in_place() {
  if (!has_next()) return std::nullopt;
  if (started_) {
    started_ = false;
    in_place_ = std::exchange(message_, {});
    return std::span<const std::byte>(in_place_);
  }
  const std::byte* body = buffer_.get() + begin_ + frame_header_size;
  return std::span(body, static_cast<const std::byte*>(buffer_.get() + taken_from_buffer()));
}

}  // namespace brood::detail
