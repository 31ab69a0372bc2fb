// The two ends of an encoding: a writer that appends to a vector or fills a span, and a reader that believes
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "brood/export.hpp"

namespace brood::detail {

class output_archive;
class input_archive;

/// Values may nest this deep through containers, `unique_ptr` and classes that load themselves. Bounds the
/// stack that hostile bytes can make a reader use; the writer refuses the same depth, so that the sender
/// hears of it.
inline constexpr std::size_t nesting_limit = 256;

/// Appends to a vector, or fills a span and then only counts.
/// Lifetime: the vector or span outlives it. Unless `finish` was called the destructor gives the vector its
/// old size.
class BROOD_API byte_writer {
 public:
  explicit byte_writer(std::vector<std::byte>& out) noexcept
      : out_(&out),
        begin_(out.data()),
        cursor_(begin_ + out.size()),
        limit_(cursor_),
        old_size_(out.size()) {}
  explicit byte_writer(std::span<std::byte> place) noexcept
      : begin_(place.data()), cursor_(begin_), limit_(begin_ + place.size()) {}
  ~byte_writer() {
    if (out_ != nullptr) out_->resize(old_size_);
  }
  byte_writer(const byte_writer&) = delete;
  byte_writer& operator=(const byte_writer&) = delete;

  void write(const void* data, std::size_t size) {
    if (static_cast<std::size_t>(limit_ - cursor_) < size) return write_beyond(data, size);
    if (size == 0) return;  // `data` may be null
    std::memcpy(cursor_, data, size);
    cursor_ += size;
  }

  void write_byte(unsigned char value) { write(&value, 1); }

  /// A number of elements: seven bits a byte, the lowest first, the top bit set on all but the last (LEB128).
  void write_count(std::uint64_t count) {
    if (count < 0x80) return write_byte(static_cast<unsigned char>(count));
    write_long_count(count);
  }

  /// Bytes written so far, those included that no longer fitted into the span.
  std::size_t position() const noexcept { return static_cast<std::size_t>(cursor_ - begin_) + missing_; }

  /// Returns `position()`; the vector then ends with the last byte written.
  std::size_t finish() {
    if (out_ != nullptr) {
      out_->resize(static_cast<std::size_t>(cursor_ - begin_));
      out_ = nullptr;
    }
    return position();
  }

  void descend() {
    if (++depth_ > nesting_limit) fail_depth();
  }
  void ascend() noexcept { --depth_; }

  /// Where classes with functions of cereal's kind find their archive; made at the first of them.
  std::optional<output_archive>* archive = nullptr;

 private:
  void write_beyond(const void* data, std::size_t size);
  void write_long_count(std::uint64_t count);
  [[noreturn]] static void fail_depth();

  std::vector<std::byte>* out_ = nullptr;
  std::byte* begin_;
  std::byte* cursor_;
  std::byte* limit_;
  std::size_t old_size_ = 0;
  std::size_t missing_ = 0;
  std::size_t depth_ = 0;
};

/// Reads a span. Every member throws `decode_error` rather than look beyond its end.
///
/// A container of n elements *claims* the least its elements can take when its count is read, and releases
/// that element by element as they are read. Nested counts must fit in what nobody has claimed, so that all
/// the memory reserved at one time is within a constant factor of the bytes present, however containers nest.
class BROOD_API byte_reader {
 public:
  explicit byte_reader(std::span<const std::byte> from) noexcept
      : cursor_(from.data()), end_(from.data() + from.size()) {}
  byte_reader(const byte_reader&) = delete;
  byte_reader& operator=(const byte_reader&) = delete;

  std::size_t remaining() const noexcept { return static_cast<std::size_t>(end_ - cursor_); }

  void read(void* into, std::size_t size) {
    if (remaining() < size) fail_short(size, remaining());
    if (size == 0) return;  // `into` may be null
    std::memcpy(into, cursor_, size);
    cursor_ += size;
  }

  unsigned char read_byte() {
    unsigned char value = 0;
    read(&value, 1);
    return value;
  }

  /// A byte that is 0 or 1; `what` names it in the error.
  bool read_flag(const char* what) {
    const unsigned char value = read_byte();
    if (value > 1) fail_value(what, value);
    return value != 0;
  }

  std::uint64_t read_number() {
    if (cursor_ != end_ && std::to_integer<unsigned>(*cursor_) < 0x80) {
      return std::to_integer<std::uint64_t>(*cursor_++);
    }
    return read_long_number();
  }

  /// The number of elements of a `what`, each at least `least` bytes long; claims them.
  std::size_t read_count(const char* what, std::size_t least) {
    const std::uint64_t count = read_number();
    if (count > unclaimed() / least) fail_count(what, "elements", count, unclaimed());
    claimed_ += static_cast<std::size_t>(count) * least;
    return static_cast<std::size_t>(count);
  }
  /// One claimed element is about to be read.
  void release(std::size_t least) noexcept { claimed_ -= least; }

  /// The number of `unit`s of `width` bytes in a block that follows at once, to be read as a whole.
  std::size_t read_block_count(const char* what, const char* unit, std::size_t width) {
    const std::uint64_t count = read_number();
    if (count > unclaimed() / width) fail_count(what, unit, count, unclaimed());
    return static_cast<std::size_t>(count);
  }

  /// Throws unless `bits` bits, eight a byte, are there.
  void expect_bits(const char* what, std::uint64_t bits) const {
    if (bits / 8 + (bits % 8 != 0) > unclaimed()) fail_count(what, "bits", bits, unclaimed());
  }

  /// The next `size` bytes, where they are.
  const std::byte* take(std::size_t size) {
    if (remaining() < size) fail_short(size, remaining());
    const std::byte* start = cursor_;
    cursor_ += size;
    return start;
  }

  void expect_size(std::size_t size) const {
    if (remaining() < size) fail_short(size, remaining());
    if (remaining() > size) fail_rest(remaining() - size);
  }

  void expect_end() const {
    if (cursor_ != end_) fail_rest(remaining());
  }

  void descend() {
    if (++depth_ > nesting_limit) fail_depth();
  }
  void ascend() noexcept { --depth_; }

  [[noreturn]] static void fail_value(const char* what, std::uint64_t value);

  std::optional<input_archive>* archive = nullptr;

 private:
  std::size_t unclaimed() const noexcept { return remaining() < claimed_ ? 0 : remaining() - claimed_; }
  std::uint64_t read_long_number();

  [[noreturn]] static void fail_short(std::size_t wanted, std::size_t present);
  [[noreturn]] static void fail_count(const char* what, const char* unit, std::uint64_t count,
                                      std::size_t present);
  [[noreturn]] static void fail_rest(std::size_t size);
  [[noreturn]] static void fail_depth();

  const std::byte* cursor_;
  const std::byte* end_;
  std::size_t claimed_ = 0;  // bytes that elements still to come need at least
  std::size_t depth_ = 0;
};

/// One level of nesting, for its lifetime.
template <class Stream>
class nesting {
 public:
  explicit nesting(Stream& stream) : stream_(stream) { stream_.descend(); }
  ~nesting() { stream_.ascend(); }
  nesting(const nesting&) = delete;
  nesting& operator=(const nesting&) = delete;

 private:
  Stream& stream_;
};

}  // namespace brood::detail
