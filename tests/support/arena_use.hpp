// What the processes of a family have in shared memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "brood/arena/arena.hpp"
#include "brood/arena/family_memory.hpp"

/// How many blocks of each size there are, without the tables of this process. Those grow to the most cells
/// and wait entries it ever needed at once and are kept, and how many of fifty children have their arguments,
/// and gave their cells back, before the last one is asked for is chance.
inline std::vector<std::uint64_t> blocks_in_use() {
  const brood::arena& memory = brood::family_memory::get();
  const auto& self = memory.map.slot_at(memory.processes.self().slot);
  auto sizes = memory.statistics().classes;
  const auto discount = [&](const brood::detail::word& table, std::uint64_t bytes) {
    if (table.load() == 0) return;
    const std::uint64_t whole = bytes + sizeof(brood::detail::block_header);
    --std::find_if(sizes.begin(), sizes.end(), [&](const auto& size) { return size.first >= whole; })->second;
  };
  for (unsigned chunk = 1; chunk < brood::detail::chunk_count; ++chunk) {
    discount(self.cell_chunks[chunk], brood::detail::cells_in_chunk(chunk) * sizeof(brood::detail::word));
    discount(self.wait_chunks[chunk],
             brood::detail::bitmap_words(chunk) * sizeof(brood::detail::word) +
                 brood::detail::waits_in_chunk(chunk) * sizeof(brood::detail::wait_entry));
  }
  std::vector<std::uint64_t> blocks;
  for (const auto& [size, count] : sizes) blocks.push_back(count);
  return blocks;
}
inline std::uint64_t processes_in_use() { return brood::family_memory::get().statistics().processes; }
