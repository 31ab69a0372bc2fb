// A histogram of how long the loop was busy between two looks at its events.
#pragma once

#include <array>
#include <cstdint>

#include "brood/runtime/runtime.hpp"

namespace brood::detail {

/// Log-linear buckets, sixteen to each power of two: a percentile is exact to about 6 %.
class stall_meter {
 public:
  void add(std::uint64_t nanoseconds) noexcept;
  stall_statistics statistics() const noexcept;

 private:
  static constexpr unsigned sub_bits = 4;
  static constexpr std::size_t buckets = (64 - sub_bits + 1) << sub_bits;

  static std::size_t bucket_of(std::uint64_t nanoseconds) noexcept;
  static std::uint64_t upper_bound(std::size_t bucket) noexcept;

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t turns_ = 0;
  std::uint64_t longest_ = 0;
};

}  // namespace brood::detail
