// The arena's heap: slabs of small blocks in 64 KiB units, buddies of units above. All changes are transactions of the heap section.
//
// Each step leaves a whole heap behind: a split or a merge moves one level and is one transaction, and handing out a
// block, naming its holder and counting it is one too. So a process killed anywhere leaves at worst blocks unmerged.
// One heap for the family and not one per process: freed blocks are reused at once while they are in cache, and a
// child touches the few pages its neighbours use already, where a region of its own would cost it page tables.
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "arena/link.hpp"
#include "brood/arena/arena.hpp"
#include "system/calls.hpp"
#include "system/fail_point.hpp"

namespace brood::detail {
namespace {

constexpr std::uint64_t tag_mark = 0x42;
constexpr std::uint64_t warm_bit = std::uint64_t{1} << 16;
constexpr std::uint64_t large_bit = std::uint64_t{1} << 16;
// Pages of freed blocks are kept up to this much, so that a stream of large messages does not fault its pages in anew.
constexpr std::uint64_t warm_limit = std::uint64_t{256} << 20;
// Emptied slabs keep theirs within a part of that only: no larger block can be made of them while they are warm.
constexpr std::uint64_t warm_slab_limit = warm_limit / 4;

constexpr std::uint64_t make_info(unit_state state, unsigned order_or_class, bool warm = false) {
  return static_cast<std::uint64_t>(state) | std::uint64_t{order_or_class} << 8 | (warm ? warm_bit : 0);
}
constexpr unit_state state_of(std::uint64_t info) { return static_cast<unit_state>(info & 0xff); }
constexpr unsigned number_of(std::uint64_t info) { return static_cast<unsigned>(info >> 8) & 0xff; }
constexpr bool is_warm(std::uint64_t info) { return (info & warm_bit) != 0; }

constexpr std::uint64_t make_tag(std::uint64_t kind, unsigned order_or_class, bool large,
                                 std::uint64_t generation) {
  return kind | std::uint64_t{order_or_class} << 8 | (large ? large_bit : 0) | tag_mark << 24 |
         generation << 32;
}

struct slab_counts {
  std::uint64_t free_head, used, cut;
  explicit slab_counts(std::uint64_t w)
      : free_head(w & 0xffff), used(w >> 16 & 0xffff), cut(w >> 32 & 0xffff) {}
  std::uint64_t packed() const { return free_head | used << 16 | cut << 32; }
};

unsigned class_for(std::uint64_t bytes) {
  unsigned cls = 0;
  while (slab_class_bytes[cls] < bytes) ++cls;
  return cls;
}

unsigned order_for(std::uint64_t bytes) {
  const std::uint64_t units = (bytes + unit_bytes - 1) / unit_bytes;
  return static_cast<unsigned>(std::bit_width(units - 1));
}

constexpr std::uint64_t order_bytes(unsigned order) { return unit_bytes << order; }
constexpr std::uint64_t blocks_in_slab(unsigned cls) { return unit_bytes / slab_class_bytes[cls]; }

}  // namespace

unit& heap::unit_at(std::uint64_t index) const noexcept {
  return reinterpret_cast<unit*>(map_.base() + map_.header().unit_table)[index];
}
std::uint64_t heap::offset_of_unit(std::uint64_t index) const noexcept {
  return map_.header().heap + index * unit_bytes;
}

/// In the largest blocks there are.
void heap::lay_out() {
  const auto& h = map_.header();
  for (std::uint64_t index = 0; index < h.units;) {
    unsigned order = max_order;
    while (index % (std::uint64_t{1} << order) != 0 || index + (std::uint64_t{1} << order) > h.units) --order;
    section_guard g(processes_, map_.header().heap_section);
    push_free(g, index, order, false);
    g.commit();
    index += std::uint64_t{1} << order;
  }
}

void heap::count(arena_statistics& counted) const {
  const auto& h = map_.header();
  counted.bytes_total = h.units * unit_bytes;
  counted.bytes_used = h.bytes_used.load(std::memory_order_relaxed);
  counted.blocks = h.blocks.load(std::memory_order_relaxed);
  for (unsigned i = 0; i < slab_classes; ++i) {
    counted.classes.emplace_back(slab_class_bytes[i], h.blocks_of[i].load(std::memory_order_relaxed));
  }
  for (unsigned i = 0; i <= max_order; ++i) {
    counted.classes.emplace_back(unit_bytes << i,
                                 h.blocks_of[slab_classes + i].load(std::memory_order_relaxed));
  }
}

// ---- free lists of buddies ----

void heap::push_free(section_guard& g, std::uint64_t index, unsigned order, bool warm) {
  auto& h = map_.header();
  const std::uint64_t head = g.get(h.orders[order]);
  g.set(unit_at(index).info, make_info(unit_state::free, order, warm));
  g.set(unit_at(index).link, make_link(0, head));
  if (head != 0) g.set(unit_at(head - 1).link, make_link(index + 1, next_of(g.get(unit_at(head - 1).link))));
  g.set(h.orders[order], index + 1);
  if (warm) g.add(h.warm_bytes, order_bytes(order));
}

void heap::unlink_free(section_guard& g, std::uint64_t index, unsigned order) {
  auto& h = map_.header();
  const std::uint64_t link = g.get(unit_at(index).link);
  const std::uint64_t next = next_of(link);
  const std::uint64_t previous = previous_of(link);
  if (previous == 0) {
    g.set(h.orders[order], next);
  } else {
    g.set(unit_at(previous - 1).link, make_link(previous_of(g.get(unit_at(previous - 1).link)), next));
  }
  if (next != 0) g.set(unit_at(next - 1).link, make_link(previous, next_of(g.get(unit_at(next - 1).link))));
  if (is_warm(g.get(unit_at(index).info))) g.add(h.warm_bytes, -order_bytes(order));
}

/// Splits until a free block of exactly `order` heads its list; gives its index, still in the list.
std::uint64_t heap::buddy_of_order(section_guard& g, unsigned order) {
  auto& h = map_.header();
  for (bool merged = false;; merged = true) {
    unsigned from = order;
    while (from <= max_order && g.get(h.orders[from]) == 0) ++from;
    if (from <= max_order) {
      for (; from > order; --from) {
        const std::uint64_t index = g.get(h.orders[from]) - 1;
        const bool warm = is_warm(g.get(unit_at(index).info));
        unlink_free(g, index, from);
        push_free(g, index + (std::uint64_t{1} << (from - 1)), from - 1, warm);
        push_free(g, index, from - 1, warm);
        g.commit();
      }
      return g.get(h.orders[order]) - 1;
    }
    if (merged) throw arena_full();
    // Only warm blocks are kept unmerged; give their pages back and try once more.
    for (unsigned o = 0; o < max_order; ++o) {
      for (std::uint64_t at = h.orders[o].load(); at != 0;) {
        const std::uint64_t index = at - 1;
        at = next_of(unit_at(index).link.load());
        if (!is_warm(unit_at(index).info.load())) continue;
        punch(offset_of_unit(index), order_bytes(o));
        g.set(unit_at(index).info, make_info(unit_state::free, o));
        g.add(h.warm_bytes, -order_bytes(o));
        g.commit();
        merge(g, index, o);
        at = h.orders[o].load();  // the merge may have taken the next one too
      }
    }
  }
}

/// Joins the cold free block with its cold free buddies as far as it goes.
void heap::merge(section_guard& g, std::uint64_t index, unsigned order) {
  auto& h = map_.header();
  while (order < max_order) {
    const std::uint64_t buddy = index ^ (std::uint64_t{1} << order);
    if (buddy + (std::uint64_t{1} << order) > h.units) return;
    if (g.get(unit_at(buddy).info) != make_info(unit_state::free, order)) return;
    const std::uint64_t lower = index & buddy;
    unlink_free(g, index, order);
    unlink_free(g, buddy, order);
    g.set(unit_at(index | buddy).info, make_info(unit_state::none, 0));
    push_free(g, lower, order + 1, false);
    g.commit();
    index = lower;
    ++order;
  }
}

void heap::punch(std::uint64_t offset, std::uint64_t bytes) noexcept {
  // The first page stays: it holds the header, whose tag must be readable as "free".
  sys::madvise(map_.base() + offset + 4096, bytes - 4096, MADV_REMOVE);
}

// ---- slabs with free blocks ----

void heap::push_partial(section_guard& g, std::uint64_t index, unsigned cls) {
  auto& h = map_.header();
  const std::uint64_t head = g.get(h.partial[cls]);
  g.set(unit_at(index).link, make_link(0, head));
  if (head != 0) g.set(unit_at(head - 1).link, make_link(index + 1, next_of(g.get(unit_at(head - 1).link))));
  g.set(h.partial[cls], index + 1);
}

void heap::unlink_partial(section_guard& g, std::uint64_t index, unsigned cls) {
  auto& h = map_.header();
  const std::uint64_t link = g.get(unit_at(index).link);
  const std::uint64_t next = next_of(link);
  const std::uint64_t previous = previous_of(link);
  if (previous == 0) {
    g.set(h.partial[cls], next);
  } else {
    g.set(unit_at(previous - 1).link, make_link(previous_of(g.get(unit_at(previous - 1).link)), next));
  }
  if (next != 0) g.set(unit_at(next - 1).link, make_link(previous, next_of(g.get(unit_at(next - 1).link))));
}

// ---- blocks ----

reference heap::allocate_small(section_guard& g, unsigned cls, std::uint64_t bytes, std::uint64_t kind,
                               word& holder, held as) {
  auto& h = map_.header();
  if (g.get(h.partial[cls]) == 0) {
    const std::uint64_t index = buddy_of_order(g, 0);
    unlink_free(g, index, 0);
    g.set(unit_at(index).info, make_info(unit_state::slab, cls));
    g.set(unit_at(index).slab, 0);
    push_partial(g, index, cls);
    g.commit();
  }
  const std::uint64_t index = g.get(h.partial[cls]) - 1;
  slab_counts counts(g.get(unit_at(index).slab));
  const std::uint64_t number = counts.free_head != 0 ? counts.free_head - 1 : counts.cut++;
  const auto block =
      static_cast<reference>((offset_of_unit(index) + number * slab_class_bytes[cls]) / granule);
  auto& found = map_.at<block_header>(block);
  if (counts.free_head != 0) counts.free_head = found.next_free.load(std::memory_order_relaxed);
  if (++counts.used == blocks_in_slab(cls)) unlink_partial(g, index, cls);
  g.set(unit_at(index).slab, counts.packed());
  const std::uint64_t generation = (g.get(h.generation) + 1) & 0xffffffff;
  found.bytes.store(bytes, std::memory_order_relaxed);
  found.references.store(0, std::memory_order_relaxed);
  found.attached.store(0, std::memory_order_relaxed);
  found.next_dying.store(0, std::memory_order_relaxed);
  g.set(found.tag, make_tag(kind, cls, false, generation));
  g.set(h.generation, generation);
  g.set(holder, make_cell(as, block));
  g.add(h.blocks, 1);
  g.add(h.bytes_used, slab_class_bytes[cls]);
  g.add(h.blocks_of[cls], 1);
  return block;
}

reference heap::allocate_large(section_guard& g, std::uint64_t bytes, std::uint64_t kind, word& holder,
                               held as) {
  auto& h = map_.header();
  const unsigned order = order_for(bytes + sizeof(block_header));
  if (order > max_order) throw arena_full();
  const std::uint64_t index = buddy_of_order(g, order);
  const auto block = static_cast<reference>(offset_of_unit(index) / granule);
  auto& found = map_.at<block_header>(block);
  unlink_free(g, index, order);
  const std::uint64_t generation = (g.get(h.generation) + 1) & 0xffffffff;
  found.bytes.store(bytes, std::memory_order_relaxed);
  found.references.store(0, std::memory_order_relaxed);
  found.attached.store(0, std::memory_order_relaxed);
  found.next_dying.store(0, std::memory_order_relaxed);
  g.set(unit_at(index).info, make_info(unit_state::used, order));
  g.set(found.tag, make_tag(kind, order, true, generation));
  g.set(h.generation, generation);
  g.set(holder, make_cell(as, block));
  g.add(h.blocks, 1);
  g.add(h.bytes_used, order_bytes(order));
  g.add(h.blocks_of[slab_classes + order], 1);
  return block;
}

reference heap::allocate(std::uint64_t bytes, std::uint8_t block_kind, word& holder, held as, bool zero) {
  processes_.require_slot();
  const std::uint64_t whole = bytes + sizeof(block_header);
  if (whole < bytes || sys::fail_point("arena allocate", {ENOSPC})) throw arena_full();
  const bool small = whole <= slab_class_bytes[slab_classes - 1];
  reference block = 0;
  {
    section_guard g(processes_, map_.header().heap_section);
    block = small ? allocate_small(g, class_for(whole), bytes, block_kind, holder, as)
                  : allocate_large(g, bytes, block_kind, holder, as);
    if (zero)
      std::memset(static_cast<void*>(map_.base() + std::uint64_t{block} * granule + sizeof(block_header)), 0,
                  bytes);
    g.commit();
  }
  return block;
}

void heap::free_block(reference block, word& holder, std::uint64_t then) {
  auto& h = map_.header();
  auto& found = map_.at<block_header>(block);
  const std::uint64_t tag = found.tag.load(std::memory_order_relaxed);
  const std::uint64_t offset = std::uint64_t{block} * granule;
  const std::uint64_t index = (offset - h.heap) / unit_bytes;
  const unsigned number = number_of(tag);
  const bool large = (tag & large_bit) != 0;
  bool warm = true;
  if (large && h.warm_bytes.load(std::memory_order_relaxed) + order_bytes(number) > warm_limit) {
    warm = false;  // while the block is still ours: nobody waits for the system call
    punch(offset, order_bytes(number));
  }
  section_guard g(processes_, h.heap_section);
  const auto next = static_cast<reference>(found.next_dying.load(std::memory_order_relaxed));
  g.set(found.tag, 0);
  g.set(holder, next != 0 ? make_cell(held::dying, next) : then);
  g.add(h.blocks, -std::uint64_t{1});
  if (large) {
    g.add(h.bytes_used, -order_bytes(number));
    g.add(h.blocks_of[slab_classes + number], -std::uint64_t{1});
    push_free(g, index, number, warm);
    g.commit();
    if (!warm) merge(g, index, number);
    return;
  }
  const std::uint64_t size = slab_class_bytes[number];
  g.add(h.bytes_used, -size);
  g.add(h.blocks_of[number], -std::uint64_t{1});
  slab_counts counts(g.get(unit_at(index).slab));
  found.next_free.store(counts.free_head, std::memory_order_relaxed);
  counts.free_head = (offset - offset_of_unit(index)) / size + 1;
  if (counts.used-- == blocks_in_slab(number)) push_partial(g, index, number);
  g.set(unit_at(index).slab, counts.packed());
  g.commit();
  if (counts.used != 0) return;
  // An empty slab goes back to the units, unless it is the last of its class with anything free.
  const std::uint64_t link = g.get(unit_at(index).link);
  if (next_of(link) == 0 && previous_of(link) == 0) return;
  const bool keep = h.warm_bytes.load(std::memory_order_relaxed) + unit_bytes <= warm_slab_limit;
  if (!keep) punch(offset_of_unit(index), unit_bytes);
  unlink_partial(g, index, number);
  push_free(g, index, 0, keep);
  g.commit();
  if (!keep) merge(g, index, 0);
}

block_header* heap::checked_header(reference block) const noexcept {
  const auto& h = map_.header();
  const std::uint64_t offset = std::uint64_t{block} * granule;
  if (offset < h.heap || offset >= offset_of_unit(h.units)) return nullptr;
  const std::uint64_t index = (offset - h.heap) / unit_bytes;
  const std::uint64_t info = unit_at(index).info.load(std::memory_order_acquire);
  const std::uint64_t inside = offset - offset_of_unit(index);
  if (state_of(info) == unit_state::slab) {
    const unsigned cls = number_of(info);
    if (cls >= slab_classes || inside % slab_class_bytes[cls] != 0) return nullptr;
    const slab_counts counts(unit_at(index).slab.load(std::memory_order_acquire));
    if (inside / slab_class_bytes[cls] >= counts.cut) return nullptr;
  } else if (state_of(info) != unit_state::used || inside != 0) {
    return nullptr;
  }
  auto* found = &map_.at<block_header>(block);
  const std::uint64_t tag = found->tag.load(std::memory_order_acquire);
  return (tag >> 24 & 0xff) == tag_mark ? found : nullptr;
}

std::span<std::byte> heap::payload(reference block, std::uint8_t block_kind) noexcept {
  block_header* found = checked_header(block);
  if (found == nullptr) return {};
  const std::uint64_t tag = found->tag.load(std::memory_order_relaxed);
  if ((tag & 0xff) != block_kind) return {};
  const unsigned number = number_of(tag);
  const std::uint64_t room = ((tag & large_bit) != 0 ? order_bytes(std::min(number, max_order))
                                                     : slab_class_bytes[std::min(number, slab_classes - 1)]) -
                             sizeof(block_header);
  const std::uint64_t bytes = found->bytes.load(std::memory_order_relaxed);
  if (bytes > room || std::uint64_t{block} * granule + sizeof(block_header) + bytes > map_.size()) return {};
  return {reinterpret_cast<std::byte*>(found) + sizeof(block_header), bytes};
}

std::uint32_t heap::generation_of(reference block) const noexcept {
  return static_cast<std::uint32_t>(map_.at<block_header>(block).tag.load(std::memory_order_relaxed) >> 32);
}

}  // namespace brood::detail
