// heap: blocks of shared memory, and the cells that say who holds them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "brood/arena/arena_full.hpp"
#include "brood/arena/detail/process_table.hpp"
#include "brood/export.hpp"

namespace brood {

class arena;
struct arena_statistics;

namespace detail {

/// A sparse heap: only pages that were written cost memory, large freed blocks are punched out again beyond a reserve of
/// warm pages.
/// Crash safety: every change is a transaction of the heap section, and records the new owner in the same step, so a process
/// that is killed anywhere leaves each block either free or named in one of its cells. The states of blocks are in
/// layout.hpp, at `unit` and `block_header`.
class BROOD_API heap {
 public:
  /// `whole` is given to the functions of an object's kind.
  heap(mapping& map, process_table& processes, arena& whole) noexcept
      : map_(map), processes_(processes), whole_(whole) {}

  /// In the process that made the memory: gives all of it to the free lists.
  void lay_out();

  // ---- blocks ----

  /// A block of `size` bytes, zeroed if `zero`, recorded in `holder` as `as` in the same atomic step. `block_kind` is a tag
  /// for checks. Throws `arena_full`.
  reference allocate(std::uint64_t size, std::uint8_t block_kind, word& holder, held as, bool zero = false);
  /// Frees a block, first the references attached to it, and sets `holder` to `then` in the same step.
  void release(reference block, word& holder, std::uint64_t then = 0);
  /// Payload of an allocated block of this kind; empty if `block` is not one (a hostile or stale reference).
  std::span<std::byte> payload(reference block, std::uint8_t block_kind) noexcept;
  std::uint32_t generation_of(reference block) const noexcept;
  /// Null if there is no allocated block.
  block_header* checked_header(reference block) const noexcept;

  // ---- counted references ----

  /// Counts one reference more and records it in `holder`, if `block` is still the object of that kind and generation;
  /// otherwise false.
  bool acquire(reference block, std::uint8_t block_kind, std::uint32_t generation, word& holder);
  /// Counts one less, clears `holder`, and takes the object apart if it was the last. If this process is taking another one
  /// apart already, that happens after it: a chain of objects in each other's messages needs no stack.
  void drop(reference block, word& holder);
  /// In a fork: what the parent was taking apart is the parent's to finish.
  void forget() noexcept { dying_ = nullptr; }

  // ---- this process's cells ----

  /// A cell that is empty, for one of the functions above. Throws `arena_full`.
  word& take_cell();
  /// Gives an empty cell back.
  void return_cell(word& cell) noexcept;
  /// The cell of any process.
  word& cell_at(process_slot& s, unsigned chunk, std::uint32_t index) const noexcept;

  void count(arena_statistics& counted) const;

 private:
  unit& unit_at(std::uint64_t index) const noexcept;
  std::uint64_t offset_of_unit(std::uint64_t index) const noexcept;
  void push_free(section_guard& g, std::uint64_t index, unsigned order, bool warm);
  void unlink_free(section_guard& g, std::uint64_t index, unsigned order);
  void unlink_partial(section_guard& g, std::uint64_t index, unsigned cls);
  void push_partial(section_guard& g, std::uint64_t index, unsigned cls);
  std::uint64_t buddy_of_order(section_guard& g, unsigned order);
  void merge(section_guard& g, std::uint64_t index, unsigned order);
  reference allocate_small(section_guard& g, unsigned cls, std::uint64_t size, std::uint64_t kind,
                           word& holder, held as);
  reference allocate_large(section_guard& g, std::uint64_t size, std::uint64_t kind, word& holder, held as);
  void free_block(reference block, word& holder, std::uint64_t then);
  void release_attached(reference block);
  void take_apart(word& holder);
  void punch(std::uint64_t offset, std::uint64_t size) noexcept;
  void take_own_cells();
  void add_cell_chunk();

  mapping& map_;
  process_table& processes_;
  arena& whole_;
  word* dying_ = nullptr;  // names the object that this process is taking apart

  // Cells that are free in this process's own slot; nobody else needs to know.
  std::uint64_t cells_of_ = 0;  // whose: another process starts anew
  std::vector<word*> free_cells_;
  unsigned cell_chunks_ = 0;
};

}  // namespace detail
}  // namespace brood
