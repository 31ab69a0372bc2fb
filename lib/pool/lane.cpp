// Lanes and hubs: the steps on their words. The state machine is in the header.
#include "brood/pool/detail/lane.hpp"

#include <time.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "brood/arena/family_memory.hpp"

namespace brood::detail {
namespace {

template <class State>
State& state_of(arena& memory, reference block) {
  return *reinterpret_cast<State*>(memory.base() + std::uint64_t{block} * granule + sizeof(block_header));
}

/// Between progress and the look at who sleeps. What precedes it here is a locked instruction, on x86 a full
/// barrier.
inline void wake_barrier() noexcept {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

void wake_one(arena& memory, wait_list& list) {
  wake_barrier();
  if (needs_wake(list)) wake(memory, list, 1);
}

void free_blocks(arena& memory, lane_slot& slot) {
  for (word* holder : {&slot.result[0], &slot.result[1], &slot.attached}) {
    const std::uint64_t cell = holder->load(std::memory_order_acquire);
    if (cell != 0) memory.release(cell_reference(cell), *holder);
  }
}

// ---- what the arena does for them ----

void destroy_lane(arena& memory, reference block) {
  auto& state = state_of<lane_state>(memory, block);
  const std::uint64_t used =
      std::min<std::uint64_t>(state.slots_used.load(std::memory_order_acquire), lane_slots);
  for (std::uint64_t i = 0; i < used; ++i) free_blocks(memory, state.slots[i]);
}
void repair_lane(arena& memory, reference block) {
  repair(memory, state_of<lane_state>(memory, block).requests);
}
void repair_hub(arena& memory, reference block) {
  repair(memory, state_of<hub_state>(memory, block).results);
}

const object_kind lane_functions{destroy_lane, repair_lane, nullptr};
const object_kind hub_functions{nullptr, repair_hub, nullptr};
const bool registered = [] {
  register_object_kind(lane_kind, lane_functions);
  register_object_kind(hub_kind, hub_functions);
  return true;
}();

/// A new object of `bytes`; `lay_out` makes its contents before anybody else can see them.
template <class Object, class LayOut>
std::shared_ptr<Object> create_object(arena& memory, std::uint64_t bytes, std::uint8_t kind, LayOut lay_out) {
  word& cell = memory.take_cell();
  std::shared_ptr<Object> object;
  try {
    const reference block = memory.allocate(bytes, kind, cell, held::block);
    lay_out(memory.base() + std::uint64_t{block} * granule + sizeof(block_header));
    object = std::make_shared<Object>(memory, block, cell);
  } catch (...) {
    if (const std::uint64_t value = cell.load(std::memory_order_relaxed); value != 0) {
      memory.release(cell_reference(value), cell);
    }
    memory.return_cell(cell);
    throw;
  }
  remember_object(object);
  return object;
}

template <class Object>
std::shared_ptr<Object> open_object(arena& memory, object_name name) {
  if (auto known = std::dynamic_pointer_cast<Object>(find_object(name))) return known;
  auto object = std::make_shared<Object>(memory, name);
  remember_object(object);
  return object;
}

}  // namespace

std::uint64_t lane_clock() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// ---- lane ----

std::shared_ptr<lane> lane::create(arena& memory) {
  // The slots are laid out when they are first used: a worker that gets few tasks touches few pages.
  return create_object<lane>(memory, sizeof(lane_state), lane_kind, [](std::byte* place) {
    std::memset(static_cast<void*>(place), 0, offsetof(lane_state, slots));
  });
}
std::shared_ptr<lane> lane::open(arena& memory, object_name name) { return open_object<lane>(memory, name); }

lane::lane(arena& memory, reference block, word& cell) : shared_object(memory, block, lane_kind, cell) {
  state_ = &state_of<lane_state>(memory, block);
}
lane::lane(arena& memory, object_name name) : shared_object(memory, name, lane_kind) {
  state_ = &state_of<lane_state>(memory, name.block);
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

bool lane::condemn(std::uint64_t name) noexcept {
  return name != 0 &&
         state_->running.compare_exchange_strong(name, name | condemned, std::memory_order_seq_cst);
}

void lane::free_result(lane_slot& slot) { free_blocks(memory(), slot); }

// ---- hub ----

std::shared_ptr<hub> hub::create(arena& memory, std::uint32_t seats) {
  const std::uint64_t words = (seats + 63) / 64;
  const std::uint64_t bytes = sizeof(hub_state) + words * sizeof(word);
  return create_object<hub>(memory, bytes, hub_kind, [&](std::byte* place) {
    std::memset(static_cast<void*>(place), 0, bytes);
    reinterpret_cast<hub_state*>(place)->words = words;
  });
}
std::shared_ptr<hub> hub::open(arena& memory, object_name name) { return open_object<hub>(memory, name); }

hub::hub(arena& memory, reference block, word& cell) : shared_object(memory, block, hub_kind, cell) {
  state_ = &state_of<hub_state>(memory, block);
}
hub::hub(arena& memory, object_name name) : shared_object(memory, name, hub_kind) {
  state_ = &state_of<hub_state>(memory, name.block);
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

template <class Object>
arena& pool_handle<Object>::family_arena() {
  return family_memory::get();
}
template class pool_handle<lane>;
template class pool_handle<hub>;

}  // namespace brood::detail
