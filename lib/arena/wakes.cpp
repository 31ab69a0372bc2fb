// How one process of the family wakes a coroutine of another: a bit in shared memory, and a datagram if its
// loop sleeps. The argument why no wake-up is lost is in wake_port.hpp.
#include "brood/arena/detail/wakes.hpp"

#include <algorithm>
#include <bit>

#include "arena/late_rings.hpp"
#include "arena/slot_words.hpp"
#include "brood/arena/detail/object_kind.hpp"

namespace brood::detail {

// ---- wait entries ----

/// Those of the slot itself, in a process that has just got it.
void wakes::take_own_entries() {
  free_waits_.clear();
  waiters_.clear();
  waits_total_ = 0;
  wait_chunks_ = 1;
  for (unsigned i = inline_waits; i-- > 0;) {
    wait_entry& entry = processes_.my_slot().waits[i];
    entry.owner.store(processes_.me(), std::memory_order_relaxed);
    entry.home.store(i, std::memory_order_relaxed);
    free_waits_.push_back(map_.to_reference(entry));
    ++waits_total_;
  }
  waits_of_ = processes_.me();
}

void wakes::start_anew() noexcept {
  doorbell_.close();
  rings_sent = 0;
}

void wakes::add_wait_chunk() {
  if (wait_chunks_ == chunk_count) throw arena_full("too many coroutines of this process wait");
  const unsigned chunk = wait_chunks_;
  const std::uint32_t count = waits_in_chunk(chunk);
  const std::uint64_t bitmap_bytes = bitmap_words(chunk) * sizeof(word);
  const reference block = heap_.allocate(bitmap_bytes + count * sizeof(wait_entry), chunk_block,
                                         processes_.my_slot().wait_chunks[chunk], held::block, true);
  ++wait_chunks_;
  const auto first = static_cast<reference>(block + 1 + bitmap_bytes / granule);
  for (std::uint32_t i = count; i-- > 0;) {
    auto& entry = map_.at<wait_entry>(first + i);
    entry.owner.store(processes_.me(), std::memory_order_relaxed);
    entry.home.store(std::uint64_t{chunk} << 24 | i, std::memory_order_relaxed);
    free_waits_.push_back(first + i);
    ++waits_total_;
  }
}

wait_entry& wakes::take_wait_entry(waiter& who) {
  processes_.require_slot();
  if (!is_mine()) take_own_entries();
  if (free_waits_.empty()) add_wait_chunk();
  auto& entry = map_.at<wait_entry>(free_waits_.back());
  free_waits_.pop_back();
  const std::size_t index = wait_index(entry.home.load(std::memory_order_relaxed));
  if (index >= waiters_.size()) waiters_.resize(index + 1);
  waiters_[index] = &who;
  return entry;
}

void wakes::return_wait_entry(wait_entry& entry) noexcept {
  if (!is_mine()) return;
  waiters_[wait_index(entry.home.load(std::memory_order_relaxed))] = nullptr;
  free_waits_.push_back(map_.to_reference(entry));
}

// ---- wakes ----

void wakes::deliver(std::uint64_t owner, std::uint64_t home) noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  const auto chunk = static_cast<unsigned>(home >> 24);
  const auto index = static_cast<std::uint32_t>(home & 0xffffff);
  if (slot == 0 || slot >= map_.header().slots || chunk >= chunk_count || index >= waits_in_chunk(chunk))
    return;
  process_slot& s = map_.slot_at(slot);
  const std::uint64_t state = s.state.load(std::memory_order_acquire);
  if (make_owner(state, slot) != owner || state_of(state) != slot_state::live) return;
  if (chunk == 0) {
    s.woken_inline.fetch_or(std::uint64_t{1} << index, std::memory_order_seq_cst);
  } else {
    const auto block = static_cast<reference>(s.wait_chunks[chunk].load(std::memory_order_acquire));
    if (block == 0) return;
    auto* bitmap = bitmap_of(block);
    bitmap[index / 64].fetch_or(std::uint64_t{1} << index % 64, std::memory_order_seq_cst);
  }
  kill_point();
  // seq_cst: before the look at `sleeping` in ring, as the sleeper's store of it comes before its look at
  // `woken`.
  s.woken.fetch_or(std::uint64_t{1} << chunk, std::memory_order_seq_cst);
}

bool wakes::is_asleep(std::uint64_t owner) const noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  return slot != 0 && slot < map_.header().slots &&
         map_.slot_at(slot).sleeping.load(std::memory_order_relaxed) != 0;
}

void wakes::ring(std::uint64_t owner, bool always) noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  if (owner == 0 || owner == processes_.me() || slot >= map_.header().slots) return;
  process_slot& s = map_.slot_at(slot);
  const bool sleeps = s.sleeping.load(std::memory_order_seq_cst) != 0 && s.sleeping.exchange(0) != 0;
  if (!sleeps && !always) return;
  kill_point();
  if (!press_doorbell(slot)) return late_rings::owe(*this);
  late_rings::pay_leftover(*this);
}

bool wakes::press_doorbell(std::uint32_t slot) noexcept {
  const process_slot& s = map_.slot_at(slot);
  const std::uint64_t name[2] = {s.port_name[0].load(std::memory_order_acquire), s.port_name[1].load()};
  if (name[0] == 0) return true;  // nobody sleeps there
  const auto outcome = doorbell_.press(name);
  if (outcome == doorbell::outcome::sent) ++rings_sent;
  return outcome != doorbell::outcome::not_yet;
}

void wakes::drain() noexcept {
  if (!processes_.has_slot()) return;
  process_slot& s = processes_.my_slot();
  if (s.woken.load(std::memory_order_relaxed) == 0) return;
  const std::uint64_t chunks = s.woken.exchange(0, std::memory_order_seq_cst);
  if ((chunks & 1) != 0) {
    for (std::uint64_t bits = s.woken_inline.exchange(0, std::memory_order_seq_cst); bits != 0;
         bits &= bits - 1) {
      tell(0, static_cast<std::uint32_t>(std::countr_zero(bits)));
    }
  }
  for (unsigned chunk = 1; chunk < wait_chunks_ && is_mine(); ++chunk) {
    if ((chunks >> chunk & 1) == 0) continue;
    const auto block = static_cast<reference>(s.wait_chunks[chunk].load(std::memory_order_relaxed));
    auto* bitmap = bitmap_of(block);
    for (std::uint32_t i = 0; i < (waits_in_chunk(chunk) + 63) / 64; ++i) {
      if (bitmap[i].load(std::memory_order_relaxed) == 0) continue;
      for (std::uint64_t bits = bitmap[i].exchange(0, std::memory_order_seq_cst); bits != 0;
           bits &= bits - 1) {
        tell(chunk, i * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
      }
    }
  }
}

void wakes::tell(unsigned chunk, std::uint32_t index) noexcept {
  const std::size_t at = wait_index(std::uint64_t{chunk} << 24 | index);
  if (is_mine() && at < waiters_.size() && waiters_[at] != nullptr) waiters_[at]->woken(*waiters_[at]);
}

/// Whoever is owed a datagram has a bit set. One too many does no harm.
bool wakes::ring_all_woken() noexcept {
  const auto slots = std::min(map_.header().slots, map_.header().slots_cut.load(std::memory_order_acquire));
  for (std::uint32_t slot = 1; slot < slots; ++slot) {
    const process_slot& s = map_.slot_at(slot);
    const std::uint64_t state = s.state.load(std::memory_order_acquire);
    if (state_of(state) != slot_state::live || s.woken.load(std::memory_order_seq_cst) == 0) continue;
    if (slot != processes_.self().slot && !press_doorbell(slot)) return false;
  }
  return true;
}

}  // namespace brood::detail
