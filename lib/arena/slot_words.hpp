// How a process slot's words are put together, for the sources that read them.
#pragma once

#include "brood/arena/detail/layout.hpp"

namespace brood::detail {

constexpr std::uint64_t make_state(std::uint64_t generation, slot_state state) {
  return generation << 32 | static_cast<std::uint64_t>(state);
}
constexpr slot_state state_of(std::uint64_t w) { return static_cast<slot_state>(w & 0xffffffff); }
constexpr std::uint32_t generation_in(std::uint64_t w) { return static_cast<std::uint32_t>(w >> 32); }
constexpr std::uint64_t make_pid(std::uint32_t generation, int pid) {
  return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(pid);
}
constexpr int pid_in(std::uint64_t w) { return static_cast<int>(w & 0xffffffff); }
constexpr std::uint64_t make_owner(std::uint64_t state_word, std::uint32_t slot) {
  return (state_word & 0xffffffff00000000) | slot;
}

/// Entries of all chunks in one row.
constexpr std::size_t wait_index(std::uint64_t home) {
  const auto chunk = static_cast<unsigned>(home >> 24);
  const std::size_t before = chunk == 0 ? 0 : inline_waits + 32 * ((std::size_t{1} << (chunk - 1)) - 1);
  return before + (home & 0xffffff);
}

}  // namespace brood::detail
