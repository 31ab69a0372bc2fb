// The parent's half of a task: where its request is kept, and how its results are read.
#include "brood/pool/detail/job.hpp"

#include "brood/arena/family_memory.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/process/exit_status.hpp"

namespace brood::detail {

// ---- requests ----

kept_request::~kept_request() {
  if (cell_ == nullptr || !family_memory::exists()) return;
  if (const std::uint64_t value = cell_->load(std::memory_order_relaxed); value != 0) {
    memory_->heap.release(cell_reference(value), *cell_);
  }
  memory_->heap.return_cell(*cell_);
}

std::span<std::byte> kept_request::allocate(arena& memory, std::size_t size) {
  memory_ = &memory;
  if (cell_ == nullptr) cell_ = &memory.heap.take_cell();
  return memory.heap.payload(memory.heap.allocate(size, message_block, *cell_, held::block), message_block);
}

reference kept_request::block() const noexcept {
  return cell_ == nullptr ? 0 : cell_reference(cell_->load(std::memory_order_relaxed));
}

kept_request& task_draft::kept() {
  if (kept_ == nullptr) kept_ = std::make_shared<kept_request>();
  return *kept_;
}

std::span<std::byte> task_draft::large_room(std::size_t size) {
  const auto room = kept().allocate(memory_, size);
  slot_.block = kept_->block();
  return room;
}

// ---- results ----

result_reader::result_reader(arena& memory, const lane_slot& slot, const std::string& worker,
                             int pid) noexcept
    : worker_(worker), pid_(pid) {
  const std::uint64_t progress = slot.progress.load(std::memory_order_acquire);
  done_ = left_ = std::min(done_of(progress), slot.last - slot.first);
  if (const unsigned place = place_of(progress); place == 1 || place == 2) {
    rest_ = memory.heap.payload(cell_reference(slot.result[place - 1].load(std::memory_order_acquire)),
                                message_block);
  } else {
    rest_ = slot.inline_results;
  }
}

std::optional<result_reader::record> result_reader::next(std::size_t value_size) {
  if (left_ == 0) return std::nullopt;
  std::uint64_t header = 0;
  if (rest_.size() < record_header) throw decode_error("results that were cut off");
  std::memcpy(&header, rest_.data(), record_header);
  rest_ = rest_.subspan(record_header);
  record found{kind_of(header), 1, {}};
  std::uint64_t size = size_of(header);
  if (found.kind == record_kind::values) {
    found.count = size == 0 ? left_ : std::min<std::uint64_t>(size, left_);
    size = found.count * value_size;
  }
  if (rest_.size() < size) throw decode_error("results that were cut off");
  found.bytes = rest_.first(size);
  rest_ = rest_.subspan(size);
  left_ -= static_cast<std::uint32_t>(found.count);
  return found;
}

std::exception_ptr result_reader::failure(const record& r) const {
  const auto failure = decode<task_failure>(r.bytes);
  switch (failure.kind) {
    case failure_kind::cannot_decode:
      return std::make_exception_ptr(decode_error(worker_ + ": " + failure.what));
    case failure_kind::asked:  // by its soft deadline: nobody hears of a task that was cancelled
      return std::make_exception_ptr(timed_out());
    case failure_kind::unknown_function:
      return std::make_exception_ptr(unknown_function(worker_ + ": " + failure.what));
    default:
      return std::make_exception_ptr(remote_error(failure.type, failure.what, worker_, pid_, failure.trace));
  }
}

}  // namespace brood::detail
