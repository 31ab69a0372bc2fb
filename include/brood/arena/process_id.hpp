// process_id: who a process of the family is.
#pragma once

#include <cstdint>

namespace brood {

/// A place in the family's table of processes and how often it has been given out. Places are used again, ids are not:
/// what is said of an id whose process has been cleaned up after is about nobody, never about a stranger.
struct process_id {
  std::uint32_t slot = 0;  // 0: nobody
  std::uint32_t generation = 0;

  /// As it stands in shared memory.
  constexpr std::uint64_t word() const noexcept { return std::uint64_t{generation} << 32 | slot; }
  static constexpr process_id of_word(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
  }
  constexpr explicit operator bool() const noexcept { return slot != 0; }
  friend constexpr bool operator==(const process_id&, const process_id&) = default;
};

}  // namespace brood
