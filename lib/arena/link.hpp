// Links of doubly linked lists in shared memory: both neighbours in one word, so that they change at once.
#pragma once

#include <cstdint>

namespace brood::detail {

constexpr std::uint64_t make_link(std::uint64_t previous, std::uint64_t next) {
  return previous << 32 | next;
}
constexpr std::uint64_t next_of(std::uint64_t link) { return link & 0xffffffff; }
constexpr std::uint64_t previous_of(std::uint64_t link) { return link >> 32; }

}  // namespace brood::detail
