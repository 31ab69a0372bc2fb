// The worker's side of a task: its results in shared memory, and the arbitration with a parent that wants it
// ended.
#include "brood/pool/detail/task_run.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "brood/coroutine/error.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "runtime/throw_trace.hpp"

namespace brood::detail {
namespace {

constexpr std::size_t first_block = 1024;

std::byte* payload_of(arena& memory, reference block) {
  return memory.map.base() + std::uint64_t{block} * granule + sizeof(block_header);
}

task_failure describe_failure(const std::exception_ptr& thrown, failure_kind kind, bool is_asked) {
  task_failure failure;
  failure.kind = kind;
  failure.trace = throw_trace(thrown);
  try {
    std::rethrow_exception(thrown);
  } catch (const cancelled& e) {
    if (is_asked) failure.kind = failure_kind::asked;
    failure.type = type_name(typeid(e));
    failure.what = e.what();
  } catch (const std::exception& e) {
    failure.type = type_name(typeid(e));
    failure.what = e.what();
  } catch (...) {
    failure.type = describe(thrown);
  }
  return failure;
}

}  // namespace

task_run::task_run(lane& where, std::uint32_t task)
    : lane_(where),
      task_(task),
      slot_(where.slot(task)),
      base_(slot_.inline_results),
      capacity_(inline_result) {
  if (slot_.block == 0) {
    request_ = {slot_.request, std::min<std::uint64_t>(slot_.size, inline_request)};
  } else {
    request_ = {payload_of(lane_.memory(), slot_.block), slot_.size};
  }
  if (!slot_.timed) {
    // seq_cst, as the look at `abandoned` follows: either it is seen there, or whoever set it sees this.
    lane_.state().running.store(std::uint64_t{task_} << 1 | 1, std::memory_order_seq_cst);
  }
  stopped_ = slot_.abandoned.load(std::memory_order_seq_cst) != 0;
}

bool task_run::begin_timed_item() {
  lane_.state().running.store(lane_clock() | named_by_time, std::memory_order_seq_cst);
  kill_point();
  if (slot_.abandoned.load(std::memory_order_seq_cst) == 0) return true;
  end_timed_item();
  return false;
}

/// From here on the item is done, or, if somebody was faster, it is not and the end is near.
void task_run::end_timed_item() {
  if ((lane_.state().running.exchange(0, std::memory_order_seq_cst) & condemned) != 0) await_end();
}

void task_run::await_end() noexcept {
  for (;;) pause();
}

void task_run::publish() {
  close_run();
  if ((lane_.state().running.exchange(0, std::memory_order_seq_cst) & condemned) != 0) await_end();
  kill_point();
  lane_.publish(task_);
  kill_point();
}

void task_run::open_run() noexcept {
  const std::uint64_t open = make_record(record_kind::values, 0);
  std::memcpy(base_ + used_, &open, sizeof open);
  run_header_ = used_;
  used_ += record_header;
  in_run_ = 0;
}

void task_run::close_run() noexcept {
  if (run_header_ == none) return;
  const std::uint64_t closed = make_record(record_kind::values, in_run_);
  std::memcpy(base_ + run_header_, &closed, sizeof closed);
  run_header_ = none;
}

/// A larger place for all that was written. Until `progress` names it the old one is what counts.
void task_run::grow(std::size_t wanted) {
  const std::size_t size = std::max({wanted, capacity_ * 2, first_block});
  arena& memory = lane_.memory();
  const unsigned next = place_ == 1 ? 2 : 1;
  const reference block = memory.heap.allocate(size, message_block, slot_.result[next - 1], held::block);
  std::byte* const place = payload_of(memory, block);
  std::memcpy(static_cast<void*>(place), base_, used_);
  kill_point();
  slot_.progress.store(make_progress(next, done_), std::memory_order_release);
  kill_point();
  if (place_ != 0) {
    word& old = slot_.result[place_ - 1];
    memory.heap.release(cell_reference(old.load(std::memory_order_relaxed)), old);
  }
  place_ = next;
  base_ = place;
  capacity_ = size;
}

void task_run::commit_record(record_kind kind, std::size_t size, const travelling_objects& travelling) {
  if (!travelling.objects().empty()) attach(travelling);
  const std::uint64_t header = make_record(kind, size);
  std::memcpy(base_ + used_, &header, sizeof header);
  used_ += record_header + size;
  item_done();
  if (!travelling.objects().empty()) stop(task_ending::split);
}

/// References to what the result names, which the parent drops when it has opened its own. One such block a
/// task: the other items get a task of their own.
void task_run::attach(const travelling_objects& travelling) {
  arena& memory = lane_.memory();
  const std::size_t count = travelling.objects().size();
  const reference block =
      memory.heap.allocate(count * sizeof(word), message_block, slot_.attached, held::block, true);
  memory.map.at<block_header>(block).attached.store(count, std::memory_order_release);
  auto* const words = reinterpret_cast<word*>(payload_of(memory, block));
  for (std::size_t i = 0; i < count; ++i) {
    const shared_object& object = *travelling.objects()[i];
    memory.acquire(object.name().block, object.kind(), object.name().generation, words[i]);
  }
}

void task_run::failure(const std::exception_ptr& thrown, failure_kind kind) {
  try {
    const task_failure failure = describe_failure(thrown, kind, lane_.is_asked());
    close_run();
    const std::size_t size = encode_into({}, failure);
    if (used_ + record_header + size > capacity_) grow(used_ + record_header + size);
    encode_into(room_behind_header(), failure);
    const travelling_objects without;
    commit_record(record_kind::failure, size, without);
    if (slot_.stop_at_error) stop(task_ending::stopped);
  } catch (const arena_full&) {
    stop(task_ending::no_memory);
  }
}

void task_run::stop(task_ending why) noexcept {
  stopped_ = true;
  slot_.ending.store(static_cast<std::uint64_t>(why), std::memory_order_release);
}

}  // namespace brood::detail
