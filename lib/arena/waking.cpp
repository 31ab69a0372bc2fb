// How one process of the family wakes a coroutine of another: a bit in shared memory, and a datagram if its
// loop sleeps. The argument why no wake-up is lost is in wake_port.hpp.
#include <algorithm>
#include <bit>

#include "arena/late_rings.hpp"
#include "arena/slot_words.hpp"
#include "brood/arena/arena.hpp"

namespace brood {

using detail::kill_point;
using detail::make_owner;
using detail::process_slot;
using detail::reference;
using detail::slot_state;
using detail::state_of;
using detail::wait_index;
using detail::word;

void arena::deliver(std::uint64_t owner, std::uint64_t home) noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  const auto chunk = static_cast<unsigned>(home >> 24);
  const auto index = static_cast<std::uint32_t>(home & 0xffffff);
  if (slot == 0 || slot >= header().slots || chunk >= detail::chunk_count ||
      index >= detail::waits_in_chunk(chunk))
    return;
  process_slot& s = slot_at(slot);
  const std::uint64_t state = s.state.load(std::memory_order_acquire);
  if (make_owner(state, slot) != owner || state_of(state) != slot_state::live) return;
  if (chunk == 0) {
    s.woken_inline.fetch_or(std::uint64_t{1} << index, std::memory_order_seq_cst);
  } else {
    const auto block = static_cast<reference>(s.wait_chunks[chunk].load(std::memory_order_acquire));
    if (block == 0) return;
    auto* bitmap = reinterpret_cast<word*>(base_ + std::uint64_t{block} * detail::granule +
                                           sizeof(detail::block_header));
    bitmap[index / 64].fetch_or(std::uint64_t{1} << index % 64, std::memory_order_seq_cst);
  }
  kill_point();
  // seq_cst: before the look at `sleeping` in ring, as the sleeper's store of it comes before its look at
  // `woken`.
  s.woken.fetch_or(std::uint64_t{1} << chunk, std::memory_order_seq_cst);
}

void arena::prepare_to_ring() { doorbell_.open(); }

bool arena::is_asleep(std::uint64_t owner) const noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  return slot != 0 && slot < header().slots && slot_at(slot).sleeping.load(std::memory_order_relaxed) != 0;
}

void arena::ring(std::uint64_t owner, bool always) noexcept {
  const auto slot = static_cast<std::uint32_t>(owner);
  if (owner == 0 || owner == me_ || slot >= header().slots) return;
  process_slot& s = slot_at(slot);
  const bool sleeps = s.sleeping.load(std::memory_order_seq_cst) != 0 && s.sleeping.exchange(0) != 0;
  if (!sleeps && !always) return;
  kill_point();
  if (!press_doorbell(slot)) return detail::late_rings::owe(*this);
  detail::late_rings::pay_leftover(*this);
}

bool arena::press_doorbell(std::uint32_t slot) noexcept {
  const process_slot& s = slot_at(slot);
  const std::uint64_t name[2] = {s.port_name[0].load(std::memory_order_acquire), s.port_name[1].load()};
  if (name[0] == 0) return true;  // nobody sleeps there
  const auto outcome = doorbell_.press(name);
  if (outcome == detail::doorbell::outcome::sent) ++rings_sent;
  return outcome != detail::doorbell::outcome::not_yet;
}

void arena::drain() noexcept {
  if (my_slot_ == nullptr) return;
  process_slot& s = *my_slot_;
  if (s.woken.load(std::memory_order_relaxed) == 0) return;
  const std::uint64_t chunks = s.woken.exchange(0, std::memory_order_seq_cst);
  if ((chunks & 1) != 0) {
    for (std::uint64_t bits = s.woken_inline.exchange(0, std::memory_order_seq_cst); bits != 0;
         bits &= bits - 1) {
      tell(0, static_cast<std::uint32_t>(std::countr_zero(bits)));
    }
  }
  for (unsigned chunk = 1; chunk < wait_chunks_; ++chunk) {
    if ((chunks >> chunk & 1) == 0) continue;
    const auto block = static_cast<reference>(s.wait_chunks[chunk].load(std::memory_order_relaxed));
    auto* bitmap = reinterpret_cast<word*>(base_ + std::uint64_t{block} * detail::granule +
                                           sizeof(detail::block_header));
    for (std::uint32_t i = 0; i < (detail::waits_in_chunk(chunk) + 63) / 64; ++i) {
      if (bitmap[i].load(std::memory_order_relaxed) == 0) continue;
      for (std::uint64_t bits = bitmap[i].exchange(0, std::memory_order_seq_cst); bits != 0;
           bits &= bits - 1) {
        tell(chunk, i * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
      }
    }
  }
}

void arena::tell(unsigned chunk, std::uint32_t index) noexcept {
  const std::size_t at = wait_index(std::uint64_t{chunk} << 24 | index);
  if (at < waiters_.size() && waiters_[at] != nullptr) waiters_[at]->woken(*waiters_[at]);
}

}  // namespace brood
