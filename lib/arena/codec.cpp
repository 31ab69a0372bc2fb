// What the codec does off its fast path: growth of the output, long counts, and the wording of errors.
#include "brood/arena/codec.hpp"

#include <algorithm>
#include <string>

namespace brood::detail {
namespace {

// Spare room after a write that had to grow the vector. It is zeroed first, so more would cost what it saves.
constexpr std::size_t room_for_small_writes = 256;

std::string too_deep() { return "values nested deeper than " + std::to_string(nesting_limit) + " levels"; }

}  // namespace

void byte_writer::write_beyond(const void* data, std::size_t size) {
  if (out_ == nullptr) {  // a span that is full: nothing more goes in, also not what would fit
    limit_ = cursor_;
    missing_ += size;
    return;
  }
  const auto* first = static_cast<const std::byte*>(data);
  const auto used = static_cast<std::size_t>(cursor_ - begin_);
  out_->resize(used);
  out_->insert(out_->end(), first, first + size);
  out_->resize(std::min(out_->capacity(), used + size + room_for_small_writes));
  begin_ = out_->data();
  cursor_ = begin_ + used + size;
  limit_ = begin_ + out_->size();
}

void byte_writer::write_long_count(std::uint64_t count) {
  unsigned char digits[10];
  std::size_t length = 0;
  for (; count >= 0x80; count >>= 7) digits[length++] = static_cast<unsigned char>(0x80 | (count & 0x7f));
  digits[length++] = static_cast<unsigned char>(count);
  write(digits, length);
}

void byte_writer::fail_depth() { throw error("cannot encode: " + too_deep()); }

std::uint64_t byte_reader::read_long_number() {
  std::uint64_t number = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const unsigned char digit = read_byte();
    const std::uint64_t bits = digit & 0x7fU;
    if (shift == 63 && bits > 1) break;  // beyond 64 bits
    number |= bits << shift;
    if (digit < 0x80) return number;
  }
  throw decode_error("a count of more than 64 bits");
}

void byte_reader::fail_value(const char* what, std::uint64_t value) {
  throw decode_error("a " + std::string(what) + " of value " + std::to_string(value));
}

void byte_reader::fail_short(std::size_t wanted, std::size_t present) {
  throw decode_error("the next value takes " + std::to_string(wanted) + " bytes, " + std::to_string(present) +
                     " present");
}

void byte_reader::fail_count(const char* what, const char* unit, std::uint64_t count, std::size_t present) {
  const bool in_bytes = std::string_view(unit) == "bytes";
  throw decode_error(std::string(what) + " of " + std::to_string(count) + " " + unit + " claimed, " +
                     std::to_string(present) + (in_bytes ? " present" : " bytes present"));
}

void byte_reader::fail_rest(std::size_t size) {
  throw decode_error(std::to_string(size) + " bytes left over after the last value");
}

void byte_reader::fail_depth() { throw decode_error(too_deep()); }

}  // namespace brood::detail
