// Messages on their way in and out of a queue.
#include <cstring>
#include <utility>

#include "brood/channel/detail/queue_core.hpp"
#include "channel/queue_records.hpp"

namespace brood::detail {

outgoing_message::~outgoing_message() {
  if (cell_ == nullptr) return;
  const std::uint64_t value = cell_->load(std::memory_order_relaxed);
  if (value != 0) memory_->heap.release(cell_reference(value), *cell_);
  memory_->heap.return_cell(*cell_);
}

void outgoing_message::take(outgoing_message& other) noexcept {
  memory_ = other.memory_;
  cell_ = std::exchange(other.cell_, nullptr);
  size_ = other.size_;
  if (cell_ == nullptr && size_ != 0) std::memcpy(inline_, other.inline_, size_);
}

std::span<std::byte> outgoing_message::prepare(arena& memory, std::uint64_t bytes, std::size_t inline_bytes,
                                               const travelling_objects& objects) {
  size_ = bytes;
  const std::size_t attached = objects.objects().size();
  if (bytes <= inline_bytes && attached == 0) return {inline_, bytes};
  memory_ = &memory;
  cell_ = &memory.heap.take_cell();
  reference block = 0;
  try {
    block = memory.heap.allocate(attached * sizeof(word) + bytes, message_block, *cell_, held::block);
  } catch (...) {
    memory.heap.return_cell(*std::exchange(cell_, nullptr));
    throw;
  }
  std::byte* payload = memory.map.payload_at(block);
  std::memset(static_cast<void*>(payload), 0, attached * sizeof(word));
  memory.map.at<block_header>(block).attached.store(attached, std::memory_order_release);
  for (std::size_t i = 0; i < attached; ++i) {
    const object_name name = objects.objects()[i]->name();
    const auto tag = memory.map.at<block_header>(name.block).tag.load(std::memory_order_relaxed);
    memory.acquire(name.block, static_cast<std::uint8_t>(tag & 0xff), name.generation,
                   reinterpret_cast<word*>(payload)[i]);
  }
  return {payload + attached * sizeof(word), bytes};
}

incoming_message& incoming_message::operator=(incoming_message&& other) noexcept {
  if (this != &other) {
    reset();
    take(other);
  }
  return *this;
}

void incoming_message::take(incoming_message& other) noexcept {
  memory_ = other.memory_;
  cell_ = std::exchange(other.cell_, nullptr);
  size_ = other.size_;
  if (cell_ == nullptr && size_ != 0) std::memcpy(inline_, other.inline_, size_);
}

void incoming_message::reset() noexcept {
  if (cell_ == nullptr) return;
  const std::uint64_t value = cell_->load(std::memory_order_relaxed);
  if (cell_kind(value) == held::settled) {
    free_record(*memory_, *cell_);
  } else if (value != 0) {
    memory_->heap.release(cell_reference(value), *cell_);
  }
  memory_->heap.return_cell(*std::exchange(cell_, nullptr));
}

std::span<const std::byte> incoming_message::bytes() const {
  if (cell_ == nullptr) return {inline_, size_};
  const std::uint64_t value = cell_->load(std::memory_order_relaxed);
  const reference block = cell_reference(value);
  return cell_kind(value) == held::settled ? record_bytes(*memory_, block) : block_bytes(*memory_, block);
}

}  // namespace brood::detail
