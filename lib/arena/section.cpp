// Sections: locking with detection of dead holders, the journal and its replay. The states are in section.hpp.
#include "brood/arena/detail/section.hpp"

#include <time.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <stdexcept>

#include "brood/arena/detail/process_table.hpp"
#include "system/calls.hpp"

namespace brood::detail {
namespace {

// Spinning longer than a change takes only keeps the holder from the processor.
constexpr int spins = 100;
// A holder that was killed between giving the section up and waking the next, or inside, is noticed after this.
constexpr long patience_nanoseconds = 2'000'000;
constexpr std::uint64_t sleepers = std::uint64_t{1} << 31;

/// The half of the word with the slot and the `sleepers` bit, for futex(2), which knows 32 bits.
std::uint32_t* futex_half(word& w) noexcept {
  static_assert(std::endian::native == std::endian::little);
  return reinterpret_cast<std::uint32_t*>(&w);
}

/// False if the whole patience passed without a wake.
bool sleep_while(word& w, std::uint64_t value) noexcept {
  const timespec limit{0, patience_nanoseconds};
  return sys::futex_wait(futex_half(w), static_cast<std::uint32_t>(value), limit) == 0 || errno != ETIMEDOUT;
}

void wake_sleeper(word& w) noexcept { sys::futex_wake(futex_half(w)); }

}  // namespace

void process_table::lock(section& s) {
  if (me_ == 0) [[unlikely]]
    require_slot();  // a section without an owner would let everybody in
  kill_point();
  std::uint64_t expected = 0;
  if (!s.owner.compare_exchange_strong(expected, me_, std::memory_order_acquire)) lock_contended(s);
  kill_point();
}

void process_table::unlock(section& s) noexcept {
  kill_point();
  // seq_cst: an exchange is a full barrier on x86, which the wake checks that follow an unlock rely on.
  const std::uint64_t was = s.owner.exchange(0, std::memory_order_seq_cst);
  kill_point();
  if ((was & sleepers) != 0) wake_sleeper(s.owner);
}

void process_table::lock_contended(section& s) {
  for (int i = 0; i < spins; ++i) {
    std::uint64_t owner = s.owner.load(std::memory_order_relaxed);
    if (owner == 0 && s.owner.compare_exchange_weak(owner, me_, std::memory_order_acquire)) return;
    cpu_relax();
  }
  // The holder lost its processor, or its life. Having slept we cannot know whether others still do, so we take the
  // section with the bit set; at worst we wake nobody when we leave it.
  for (;;) {
    std::uint64_t owner = s.owner.load(std::memory_order_relaxed);
    if (owner == 0) {
      if (s.owner.compare_exchange_weak(owner, me_ | sleepers, std::memory_order_acquire)) return;
      continue;
    }
    if ((owner & sleepers) == 0 &&
        !s.owner.compare_exchange_weak(owner, owner | sleepers, std::memory_order_relaxed)) {
      continue;
    }
    owner |= sleepers;
    if (sleep_while(s.owner, owner) || !is_dead(owner & ~sleepers)) continue;
    if (s.owner.compare_exchange_strong(owner, me_ | sleepers, std::memory_order_acquire)) {
      replay(s);
      return;
    }
  }
}

void process_table::replay(section& s) noexcept {
  const std::uint64_t count = s.pending.load(std::memory_order_acquire);
  if (count > 0 && count <= journal_capacity) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const journal_entry entry = s.journal[i];
      kill_point();
      if (entry.offset % 8 != 0 || entry.offset > map_.size() - 8)
        continue;  // only a hostile process writes such a thing
      reinterpret_cast<word*>(map_.base() + entry.offset)->store(entry.value, std::memory_order_release);
    }
  }
  kill_point();
  s.pending.store(0, std::memory_order_release);
}

section_guard::section_guard(process_table& claimant, section& s)
    : claimant_(claimant), map_(claimant.map()), section_(s) {
  claimant_.lock(s);
}
section_guard::~section_guard() { claimant_.unlock(section_); }

void section_guard::set(word& target, std::uint64_t value) {
  kill_point();
  if (count_ == journal_capacity) throw std::logic_error("brood: a transaction is larger than the journal");
  section_.journal[count_++] = {map_.offset_of(target), value};
}

std::uint64_t section_guard::get(const word& target) const noexcept {
  const std::uint64_t offset = map_.offset_of(target);
  for (std::uint32_t i = count_; i-- > 0;) {
    if (section_.journal[i].offset == offset) return section_.journal[i].value;
  }
  return target.load(std::memory_order_relaxed);
}

void section_guard::commit() noexcept {
  kill_point();
  section_.pending.store(count_, std::memory_order_release);
  for (std::uint32_t i = 0; i < count_; ++i) {
    kill_point();
    const journal_entry& entry = section_.journal[i];
    reinterpret_cast<word*>(map_.base() + entry.offset)->store(entry.value, std::memory_order_release);
  }
  kill_point();
  section_.pending.store(0, std::memory_order_release);
  // A release does not hold back what follows it: written before `pending` is 0, the next transaction's journal would be
  // replayed half written. Only the compiler can do that to a process that is killed, so only it is told.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  count_ = 0;
  kill_point();
}

}  // namespace brood::detail
