#include "runtime/stall_meter.hpp"

#include <algorithm>
#include <bit>

namespace brood::detail {

std::size_t stall_meter::bucket_of(std::uint64_t nanoseconds) noexcept {
  constexpr std::uint64_t sub_count = 1u << sub_bits;
  if (nanoseconds < sub_count) return nanoseconds;
  const unsigned shift = static_cast<unsigned>(std::bit_width(nanoseconds)) - 1 - sub_bits;
  return ((shift + 1) << sub_bits) + (nanoseconds >> shift) - sub_count;
}

std::uint64_t stall_meter::upper_bound(std::size_t bucket) noexcept {
  constexpr std::uint64_t sub_count = 1u << sub_bits;
  if (bucket < sub_count) return bucket;
  const std::size_t shift = (bucket >> sub_bits) - 1;
  return ((sub_count + bucket % sub_count + 1) << shift) - 1;
}

void stall_meter::add(std::uint64_t nanoseconds) noexcept {
  ++counts_[bucket_of(nanoseconds)];
  ++turns_;
  longest_ = std::max(longest_, nanoseconds);
}

stall_statistics stall_meter::statistics() const noexcept {
  const std::uint64_t rank = turns_ - turns_ / 100;
  std::uint64_t seen = 0;
  std::size_t bucket = 0;
  while (bucket < buckets && seen + counts_[bucket] < rank) seen += counts_[bucket++];
  return {turns_, longest_, turns_ == 0 ? 0 : std::min(longest_, upper_bound(std::min(bucket, buckets - 1)))};
}

}  // namespace brood::detail
