// Messages in a stream of bytes: 8 bytes of length, little-endian, then the message. Touches no socket, so it can be
// fuzzed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace brood::detail {

inline constexpr std::size_t frame_header_size = 8;

std::array<std::byte, frame_header_size> frame_header(std::uint64_t size) noexcept;

/// Cuts what arrives into messages. Small ones are read many at a time, the rest of a large one straight into its place.
/// Memory: one buffer, and for the message that is arriving at most twice what has arrived of it, whatever its length
/// claims.
class frame_reader {
 public:
  /// `longest` in bytes.
  explicit frame_reader(std::uint64_t longest) noexcept : longest_(longest) {}

  /// Where the next bytes of the stream go; never empty. To be called once `next` has nothing more to give.
  std::span<std::byte> space();
  /// That many bytes of it were filled.
  void filled(std::size_t count) noexcept;
  /// The next message, if it has arrived whole. Throws `decode_error`, now and ever after, at a length above the limit.
  std::optional<std::vector<std::byte>> next();
  /// The same without a copy: the bytes live until the next call of a member.
  std::optional<std::span<const std::byte>> next_in_place();
  /// Would `next` give a message or throw? As `next`, to be asked before `space`.
  bool has_next();
  /// What has arrived and was not given out, as it came, for another reader.
  std::vector<std::byte> unread() const;
  /// The first bytes of the stream, all at once: another reader's `unread`.
  void fill(std::span<const std::byte> bytes);
  /// Has a part of a message arrived? At the end of the stream it is lost.
  bool in_message() const noexcept { return started_ || begin_ != end_; }

 private:
  static constexpr std::size_t buffer_size = 64 * 1024;

  std::size_t buffered() const noexcept { return end_ - begin_; }
  std::uint64_t announced_size() const noexcept;
  void start_large_message();
  std::size_t taken_from_buffer();

  std::uint64_t longest_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t begin_ = 0;  // what of the buffer has arrived and was not taken
  std::size_t end_ = 0;

  // A message too large for the buffer, which is empty meanwhile.
  bool started_ = false;
  std::uint64_t size_ = 0;
  std::uint64_t arrived_ = 0;
  std::vector<std::byte> message_;
  std::vector<std::byte> in_place_;  // what `next_in_place` gave, if it was one of those
};

}  // namespace brood::detail
