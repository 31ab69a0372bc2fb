// arena: the memory that all processes of a family share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "brood/arena/detail/heap.hpp"
#include "brood/arena/detail/mapping.hpp"
#include "brood/arena/detail/object_kind.hpp"
#include "brood/arena/detail/process_table.hpp"
#include "brood/arena/detail/wakes.hpp"
#include "brood/export.hpp"

namespace brood {

struct arena_statistics {
  std::uint64_t bytes_total = 0;     // address space for blocks
  std::uint64_t bytes_used = 0;      // in allocated blocks, rounding included
  std::uint64_t bytes_resident = 0;  // pages that really exist, of the whole memfd
  std::uint64_t blocks = 0;
  std::uint64_t processes = 0;  // slots in use
  std::vector<std::pair<std::uint64_t, std::uint64_t>>
      classes;  // size of a block with its header, blocks in use
};

/// Four things, each using those before it: the mapping, the table of processes, the heap, the wakes. What concerns more than
/// one of them is here.
class BROOD_API arena {
 public:
  /// A new one; the caller is the first process of its family. Throws `std::system_error` with the failing call.
  static std::unique_ptr<arena> create(std::size_t size);
  /// Maps an inherited one; owns `fd`. Throws `std::system_error`, or `error` if it is not an arena of this version.
  static std::unique_ptr<arena> attach(int fd);
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;

  /// A slot for a process that is about to be made, by one that can clean up after it. Throws `arena_full`.
  process_id reserve_slot();
  void adopt_slot(process_id id);
  /// Documented at `family_memory`.
  int become_caretaker();
  /// In a fork: forgets the slot, which is the parent's. From then on nothing is held here, taking anything throws
  /// `forked_process`, and giving back does nothing. Only stores: another thread may have been at work.
  void forget_slot() noexcept;
  /// The same in a clone that has closed the descriptors.
  void disown() noexcept;
  /// As `heap::acquire`, by a process that can wake those who wait for the object.
  bool acquire(detail::reference block, std::uint8_t block_kind, std::uint32_t generation,
               detail::word& holder);
  /// The clean-up after a child of this process; see lib/arena/death.cpp.
  void on_death(process_id id) noexcept;
  arena_statistics statistics() const;

  detail::mapping map;
  detail::process_table processes{map};
  detail::heap heap{map, processes, *this};
  detail::wakes wakes{map, processes, heap};

 private:
  explicit arena(std::size_t size) : map(size) {}
  explicit arena(detail::mapping::inherited memory) : map(memory) {}
};

}  // namespace brood
