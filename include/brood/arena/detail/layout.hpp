// What lies where in the arena. All references are offsets in granules of 64 bytes, so that every process may map the
// memory at an address of its own, and a reference fits in 32 bits (an arena of at most 256 GiB).
//
//   header | unit table | process table | heap (units of 64 KiB)
#pragma once

#include <cstdint>

#include "brood/arena/detail/section.hpp"

namespace brood::detail {

using reference = std::uint32_t;  // offset / 64; 0 is none
inline constexpr std::uint64_t granule = 64;
inline constexpr std::uint64_t unit_bytes = 64 * 1024;
inline constexpr unsigned max_order = 18;  // the largest block: 64 KiB << 18 = 16 GiB
inline constexpr unsigned slab_classes = 17;
/// Sizes of small blocks, header included. Each fits a unit at least four times.
inline constexpr std::uint32_t slab_class_bytes[slab_classes] = {
    128, 192, 256, 320, 384, 512, 640, 768, 1024, 1280, 1536, 2048, 3072, 4096, 6144, 8192, 16384};

// ---- heap ----

/// One 64 KiB unit. `info`: state (bits 0-7), order or class (bits 8-15), warm (bit 16).
///   none: inside a larger block; free: head of a free buddy block, linked by `link` in the list of its order;
///   used: head of a large block; slab: cut into blocks of one class, in that class's list while any is free.
/// All words move in transactions of the heap section only.
struct unit {
  word info;
  word link;  // previous << 32 | next, as unit index + 1
  word slab;  // free list head, as block index + 1 (bits 0-15), in use (16-31), ever cut (32-47)
  word spare;
};
static_assert(sizeof(unit) == 32);

enum class unit_state : std::uint8_t { none = 0, free = 1, used = 2, slab = 3 };

/// In front of every block. `tag` says whether and as what it is allocated, and is set in the same transaction that
/// records the owner: kind (bits 0-7), class or order (8-15), large (16), 0x42 (24-31), generation (32-63).
struct block_header {
  word tag;         // 0 while free
  word bytes;       // payload asked for
  word references;  // objects: processes and messages that hold it
  word attached;    // messages: how many references to objects the payload begins with
  word next_free;   // block index + 1 in its slab
  word next_dying;  // objects: another one to be taken apart after this one, see arena::drop
  word next_name;   // names: the next in the list of the process that has this one, a cell
  word spare;
};
static_assert(sizeof(block_header) == granule);

// ---- processes ----

/// A place in a wait list. Protected by that list's section while linked; otherwise its process's own.
///   idle --enqueue--> waiting --wake: unlinked, delivered--> woken --the waiter tries again--> idle
///                        \--cancel: unlinked--> idle            \--given up or dead: the next is woken--> idle
struct wait_entry {
  word link;        // previous << 32 | next, references of entries
  word list;        // reference of the list it belongs to; 0 while idle
  word state;       // wait_state
  word home;        // chunk << 24 | index: which bit of which process is set to wake it
  word owner;       // generation << 32 | slot
  word on_its_way;  // what it counts in the list's `on_their_way`: 0 unless it was woken
  word spare[2];
};
static_assert(sizeof(wait_entry) == granule);
enum class wait_state : std::uint64_t { idle = 0, waiting = 1, woken = 2 };

inline constexpr unsigned chunk_count = 11;
inline constexpr unsigned inline_waits = 4;   // chunk 0; chunk c > 0 has 16 << c
inline constexpr unsigned inline_cells = 48;  // chunk 0; chunk c > 0 has 64 << c

constexpr std::uint32_t waits_in_chunk(unsigned chunk) { return chunk == 0 ? inline_waits : 16u << chunk; }
constexpr std::uint32_t cells_in_chunk(unsigned chunk) { return chunk == 0 ? inline_cells : 64u << chunk; }
/// Words of the bitmap in front of the entries of a chunk, rounded up to whole granules.
constexpr std::uint32_t bitmap_words(unsigned chunk) {
  return ((waits_in_chunk(chunk) + 63) / 64 + 7) / 8 * 8;
}

enum class slot_state : std::uint32_t { free = 0, reserved = 1, live = 2, dead = 3 };

/// One process. Four fit in a page, so a child that only waits touches one page here.
/// `state`: generation << 32 | slot_state.
///
///   free --reserve: a transaction--> reserved --adopt: the process itself, compare-and-swap--> live
///   reserved or live --its parent, once it is gone: compare-and-swap--> dead --cleaned up: a transaction--> free
///
/// `parent` is the one process that may take the last two steps, so they need no lock, and whose list of children the
/// slot is in from reserved to free. If that one dies, whoever cleans up after it becomes the parent of each of its
/// children, one transaction for each; so a clean-up that was interrupted by a kill is done by the next.
struct process_slot {
  word state;
  word pid;     // generation << 32 | pid; 0 in place of the pid while nobody knows of a process
  word parent;  // id of the process that cleans up after it
  word spare0;
  word port_name[2];  // random; 0 while it has no wake port
  word next_free;     // free list of the table
  word names;         // first of the names it is to take away in the end, see shared_memory.cpp; a cell
  // What wakers write.
  word sleeping;  // 1 while the loop sleeps or is about to; whoever changes 1 to 0 sends the datagram
  word woken;     // chunks of wait entries that have a bit set
  word woken_inline;
  word spare1[5];
  // What it is in the middle of; written by itself with plain stores before the act, cleared after it.
  word intent_object;  // reference of an object whose waiters may have to be woken
  word intent_list;    // reference of a wait list it is waking
  word intent_ring;    // owner id of a process it is about to ring
  word owes_rings;     // 1 while it could not ring some who have a bit set; see late_rings.hpp
  // Its family. Changed in transactions of the heap section.
  word children;          // first of those it watches
  word orphans;           // first of those it inherited and does not watch yet
  word next_sibling;      // in the list of its parent that it is in
  word previous_sibling;  // 0 for the first
  // What it waits for and holds.
  word wait_chunks[chunk_count];  // references; [0] unused
  word cell_chunks[chunk_count];
  word spare3[2];
  word cells[inline_cells];
  wait_entry waits[inline_waits];
};
static_assert(sizeof(process_slot) == 1024);

/// The last places of the table are not reserved for children: each is for one who cleans up after the first process, which
/// has no parent, and after those that were killed at that. `pid` decides by compare-and-swap who has one, and it is not used a
/// second time.
inline constexpr std::uint32_t caretaker_slots = 8;

/// A cell names one thing a process holds: kind << 56 | extra << 32 | reference. Set in the transaction that takes
/// the thing and cleared in the one that gives it away, so after a death the cells are the whole truth.
enum class held : std::uint8_t {
  nothing = 0,
  block = 1,    // a block, and with it the references attached to it
  object = 2,   // a counted reference
  dying = 3,    // an object whose last reference went, and those after it in `next_dying`: being taken apart
  leased = 4,   // an item of a queue, to be given back
  settled = 5,  // the same after `done`: to be freed
  custom = 16,  // and above: kinds of the primitives, see object_kind
};
constexpr std::uint64_t make_cell(held kind, reference r, std::uint32_t extra = 0) {
  return std::uint64_t{static_cast<std::uint8_t>(kind)} << 56 | std::uint64_t{extra & 0xffffff} << 32 | r;
}
constexpr held cell_kind(std::uint64_t cell) { return static_cast<held>(cell >> 56); }
constexpr reference cell_reference(std::uint64_t cell) { return static_cast<reference>(cell); }
constexpr std::uint32_t cell_extra(std::uint64_t cell) {
  return static_cast<std::uint32_t>(cell >> 32) & 0xffffff;
}

// ---- the header ----

inline constexpr std::uint64_t arena_magic = 0x62726f6f64'0002;  // "brood" and the version of this layout

struct arena_header {
  std::uint64_t magic;
  std::uint64_t bytes;
  std::uint64_t unit_table;     // offset
  std::uint64_t process_table;  // offset
  std::uint64_t heap;           // offset of unit 0
  std::uint64_t units;
  std::uint64_t slots;
  std::uint64_t spare;
  // Heap and process table share one section: what a process takes from them it takes rarely.
  alignas(64) section heap_section;
  word orders[max_order + 1];  // free lists of buddies, unit index + 1
  word partial[slab_classes];  // slabs with free blocks, unit index + 1
  word free_slots;             // slot number
  word slots_cut;              // slots ever used; the next is fresh
  word blocks;                 // allocated now
  word bytes_used;             // in allocated blocks, headers and rounding included
  word warm_bytes;             // in free large blocks whose pages were kept
  word generation;             // of the next block
  word blocks_of[slab_classes + max_order + 1];
};

}  // namespace brood::detail
