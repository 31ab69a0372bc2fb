// The heap: what is held. Cells, counted references, and objects that are taken apart when the last reference goes.
#include <cstdlib>
#include <utility>

#include "brood/arena/detail/heap.hpp"
#include "brood/arena/detail/object_kind.hpp"

namespace brood::detail {

// ---- cells ----

word& heap::cell_at(process_slot& s, unsigned chunk, std::uint32_t index) const noexcept {
  if (chunk == 0) return s.cells[index];
  const auto block = static_cast<reference>(s.cell_chunks[chunk].load(std::memory_order_acquire));
  return reinterpret_cast<word*>(map_.payload_at(block))[index];
}

/// Those of the slot itself, in a process that has just got it.
void heap::take_own_cells() {
  free_cells_.clear();
  cell_chunks_ = 1;
  for (unsigned i = inline_cells; i-- > 0;) free_cells_.push_back(&processes_.my_slot().cells[i]);
  cells_of_ = processes_.me();
}

void heap::add_cell_chunk() {
  if (cell_chunks_ == chunk_count) throw arena_full("this process holds too many shared objects");
  const unsigned chunk = cell_chunks_;
  const std::uint32_t count = cells_in_chunk(chunk);
  allocate(count * sizeof(word), chunk_block, processes_.my_slot().cell_chunks[chunk], held::block, true);
  ++cell_chunks_;
  for (std::uint32_t i = count; i-- > 0;) free_cells_.push_back(&cell_at(processes_.my_slot(), chunk, i));
}

word& heap::take_cell() {
  processes_.require_slot();
  if (cells_of_ != processes_.me()) take_own_cells();
  if (free_cells_.empty()) add_cell_chunk();
  word* cell = free_cells_.back();
  free_cells_.pop_back();
  return *cell;
}

void heap::return_cell(word& cell) noexcept {
  if (processes_.me() != 0) free_cells_.push_back(&cell);
}

// ---- references attached to a block ----

void heap::release(reference block, word& holder, std::uint64_t then) {
  if (processes_.me() == 0) return;  // a fork: it is the parent's
  release_attached(block);
  free_block(block, holder, then);
}

void heap::release_attached(reference block) {
  auto& found = map_.at<block_header>(block);
  const std::uint64_t count = found.attached.load(std::memory_order_acquire);
  if (count > found.bytes.load() / sizeof(word)) return;
  auto* attached =
      reinterpret_cast<word*>(map_.base() + std::uint64_t{block} * granule + sizeof(block_header));
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t cell = attached[i].load(std::memory_order_acquire);
    if (cell_kind(cell) == held::object || cell_kind(cell) == held::dying) {
      drop(cell_reference(cell), attached[i]);
    }
  }
}

// ---- counted references ----

bool heap::acquire(reference block, std::uint8_t block_kind, std::uint32_t generation, word& holder) {
  processes_.require_slot();
  section_guard g(processes_, map_.header().heap_section);
  block_header* found = checked_header(block);
  if (found == nullptr) return false;
  const std::uint64_t tag = found->tag.load(std::memory_order_relaxed);
  if ((tag & 0xff) != block_kind || tag >> 32 != generation) return false;
  // A fresh object has none yet, and its maker's cell says `block`; one being taken apart can have none either.
  const std::uint64_t count = g.get(found->references);
  if (count == 0 && cell_kind(holder.load(std::memory_order_relaxed)) != held::block) return false;
  g.set(found->references, count + 1);
  g.set(holder, make_cell(held::object, block));
  g.commit();
  return true;
}

void heap::drop(reference block, word& holder) {
  if (processes_.me() == 0) return;
  if (cell_kind(holder.load(std::memory_order_relaxed)) != held::dying) {
    section_guard g(processes_, map_.header().heap_section);
    auto& found = map_.at<block_header>(block);
    const std::uint64_t count = g.get(found.references);
    const bool last = count <= 1;
    g.set(found.references, last ? 0 : count - 1);
    if (last && dying_ != nullptr) {
      word& next = map_.at<block_header>(cell_reference(dying_->load(std::memory_order_relaxed))).next_dying;
      g.set(found.next_dying, g.get(next));
      g.set(next, block);
    }
    const bool now = last && dying_ == nullptr;
    g.set(holder, now ? make_cell(held::dying, block) : 0);
    g.commit();
    if (!now) return;
  }
  take_apart(holder);
}

/// The object that `holder` names as dying, and those whose last reference goes with it. Each step names the next in the
/// transaction that frees the one before, so whoever finds `holder` after a kill goes on from there.
void heap::take_apart(word& holder) {
  struct taking {
    word*& current;
    word* outer;
    ~taking() { current = outer; }
  } const scope{dying_, std::exchange(dying_, &holder)};
  for (;;) {
    const std::uint64_t value = holder.load(std::memory_order_acquire);
    if (cell_kind(value) != held::dying) return;
    const reference block = cell_reference(value);
    const auto tag = map_.at<block_header>(block).tag.load(std::memory_order_acquire);
    const auto* kind = find_object_kind(static_cast<std::uint8_t>(tag & 0xff));
    if (kind != nullptr && kind->destroy != nullptr) kind->destroy(whole_, block);
    release(block, holder);
  }
}

// ---- kinds of objects ----

namespace {
const object_kind* object_kinds[256] = {};
}
void register_object_kind(std::uint8_t block_kind, const object_kind& functions) noexcept {
  if (object_kinds[block_kind] != nullptr) std::abort();
  object_kinds[block_kind] = &functions;
}
const object_kind* find_object_kind(std::uint8_t block_kind) noexcept { return object_kinds[block_kind]; }
}  // namespace brood::detail
