// Lanes and hubs: the steps on their words. The state machine is in the header.
#include "brood/pool/detail/lane.hpp"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "brood/arena/detail/intent.hpp"
#include "brood/arena/family_memory.hpp"

namespace brood::detail {
namespace {

void wake_one(arena& memory, wait_list& list) {
  wake_barrier();
  if (needs_wake(list)) wake(memory, list, 1);
}

void free_blocks(arena& memory, lane_slot& slot) {
  for (word* holder : {&slot.result[0], &slot.result[1], &slot.attached}) {
    const std::uint64_t cell = holder->load(std::memory_order_acquire);
    if (cell != 0) memory.heap.release(cell_reference(cell), *holder);
  }
}

// ---- what the arena does for them ----

void destroy_lane(arena& memory, reference block) {
  auto& state = memory.map.state_at<lane_state>(block);
  const std::uint64_t used =
      std::min<std::uint64_t>(state.slots_used.load(std::memory_order_acquire), lane_slots);
  for (std::uint64_t i = 0; i < used; ++i) free_blocks(memory, state.slots[i]);
}
void repair_lane(arena& memory, reference block) {
  repair(memory, memory.map.state_at<lane_state>(block).requests);
}
void repair_hub(arena& memory, reference block) {
  repair(memory, memory.map.state_at<hub_state>(block).results);
}

const object_kind lane_functions{destroy_lane, repair_lane, nullptr};
const object_kind hub_functions{nullptr, repair_hub, nullptr};
const bool registered = [] {
  register_object_kind(lane_kind, lane_functions);
  register_object_kind(hub_kind, hub_functions);
  return true;
}();

}  // namespace

std::uint64_t lane_clock() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// ---- lane ----

std::shared_ptr<lane> lane::create(arena& memory) {
  // The slots are laid out when they are first used: a worker that gets few tasks touches few pages.
  return create_object<lane>(memory, sizeof(lane_state), false, [&](reference block) {
    std::memset(static_cast<void*>(memory.map.payload_at(block)), 0, offsetof(lane_state, slots));
  });
}

lane::lane(arena& memory, reference block, word& cell) : shared_object(memory, block, lane_kind, cell) {
  state_ = &memory.map.state_at<lane_state>(block);
}
lane::lane(arena& memory, object_name name) : shared_object(memory, name, lane_kind) {
  state_ = &memory.map.state_at<lane_state>(name.block);
}

lane_slot& lane::prepare(std::uint32_t task) noexcept {
  lane_slot& s = slot(task);
  const std::uint64_t used = state_->slots_used.load(std::memory_order_relaxed);
  if (used < lane_slots && task == used) {
    // Before it counts as used: from then on whoever takes the lane apart believes its words.
    std::memset(static_cast<void*>(&s), 0, offsetof(lane_slot, request));
    state_->slots_used.store(used + 1, std::memory_order_release);
  }
  s.abandoned.store(0, std::memory_order_relaxed);
  s.progress.store(0, std::memory_order_relaxed);
  s.ending.store(0, std::memory_order_relaxed);
  return s;
}

void lane::give(std::uint32_t count) noexcept {
  std::uint64_t was = state_->window.load(std::memory_order_relaxed);
  while (!state_->window.compare_exchange_weak(was, make_window(half(was, 32), half(was, 0) + count),
                                               std::memory_order_seq_cst)) {
  }
}

std::uint32_t lane::take_back(std::uint32_t most) noexcept {
  std::uint64_t was = state_->window.load(std::memory_order_relaxed);
  for (;;) {
    const std::uint32_t back = std::min(most, half(was, 0) - half(was, 32));
    if (back == 0) return 0;
    if (state_->window.compare_exchange_weak(was, make_window(half(was, 32), half(was, 0) - back),
                                             std::memory_order_seq_cst)) {
      return back;
    }
  }
}

std::optional<std::uint32_t> lane::claim() noexcept {
  std::uint64_t was = state_->window.load(std::memory_order_relaxed);
  while (half(was, 32) != half(was, 0)) {
    kill_point();
    if (state_->window.compare_exchange_weak(was, make_window(half(was, 32) + 1, half(was, 0)),
                                             std::memory_order_seq_cst)) {
      kill_point();
      return half(was, 32);
    }
  }
  return std::nullopt;
}

void lane::close() {
  state_->closing.store(1, std::memory_order_seq_cst);
  wake_worker();
}

void lane::wake_worker() { wake_one(memory(), state_->requests); }

std::uint64_t lane::running() const noexcept {
  const std::uint64_t name = state_->running.load(std::memory_order_seq_cst);
  return (name & condemned) != 0 ? 0 : name;
}

bool lane::ask(std::uint64_t name) noexcept {
  return name != 0 &&
         state_->running.compare_exchange_strong(name, name | asked_to_end, std::memory_order_seq_cst);
}

bool lane::condemn(std::uint64_t name) noexcept {
  return name != 0 &&
         state_->running.compare_exchange_strong(name, name | condemned, std::memory_order_seq_cst);
}

void lane::free_result(lane_slot& slot) { free_blocks(memory(), slot); }

// ---- hub ----

std::shared_ptr<hub> hub::create(arena& memory, std::uint32_t seats) {
  const std::uint64_t words = (seats + 63) / 64;
  return create_object<hub>(memory, sizeof(hub_state) + words * sizeof(word), true,
                            [&](reference block) { memory.map.state_at<hub_state>(block).words = words; });
}

hub::hub(arena& memory, reference block, word& cell) : shared_object(memory, block, hub_kind, cell) {
  state_ = &memory.map.state_at<hub_state>(block);
}
hub::hub(arena& memory, object_name name) : shared_object(memory, name, hub_kind) {
  state_ = &memory.map.state_at<hub_state>(name.block);
}

void hub::notify(std::uint32_t seat) {
  word& here = bits()[seat / 64];
  const std::uint64_t bit = std::uint64_t{1} << (seat % 64);
  if ((here.load(std::memory_order_seq_cst) & bit) == 0) {
    kill_point();
    here.fetch_or(bit, std::memory_order_seq_cst);
  }
  kill_point();
  wake_one(memory(), state_->results);
}

bool hub::anything() const noexcept {
  for (std::uint64_t i = 0; i < state_->words; ++i) {
    if (bits()[i].load(std::memory_order_seq_cst) != 0) return true;
  }
  return false;
}

std::uint64_t hub::take(std::uint64_t index) noexcept {
  if (bits()[index].load(std::memory_order_relaxed) == 0) return 0;
  return bits()[index].exchange(0, std::memory_order_seq_cst);
}

// ---- handles ----

}  // namespace brood::detail
