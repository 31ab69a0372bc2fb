// Sections: locking with detection of dead holders, the journal and its replay. The states are in section.hpp.
#include "brood/arena/detail/section.hpp"

#include <sched.h>
#include <time.h>

#include <stdexcept>

#include "brood/arena/arena.hpp"

namespace brood {
namespace {

// Spinning longer than a change takes only keeps the holder from the processor.
constexpr int spins = 100;
constexpr int yields_between_checks = 32;

}  // namespace

void arena::lock(detail::section& s, detail::section* repair_first) {
  detail::kill_point();
  std::uint64_t expected = 0;
  if (!s.owner.compare_exchange_strong(expected, me_, std::memory_order_acquire)) lock_contended(s, repair_first);
  detail::kill_point();
}

void arena::unlock(detail::section& s) noexcept {
  detail::kill_point();
  // seq_cst: an exchange is a full barrier on x86, which the wake checks that follow an unlock rely on.
  s.owner.exchange(0, std::memory_order_seq_cst);
  detail::kill_point();
}

void arena::lock_contended(detail::section& s, detail::section* repair_first) {
  for (int round = 0;; ++round) {
    for (int i = 0; i < spins; ++i) {
      std::uint64_t owner = s.owner.load(std::memory_order_relaxed);
      if (owner == 0 && s.owner.compare_exchange_weak(owner, me_, std::memory_order_acquire)) return;
      detail::cpu_relax();
    }
    if (round % yields_between_checks == yields_between_checks - 1) {
      std::uint64_t owner = s.owner.load(std::memory_order_relaxed);
      if (owner != 0 && is_dead(owner)) {
        if (repair_first != nullptr) {
          lock(*repair_first, nullptr);
          unlock(*repair_first);
        }
        if (s.owner.compare_exchange_strong(owner, me_, std::memory_order_acquire)) {
          replay(s);
          return;
        }
      }
      if (round > 20 * yields_between_checks) {  // the holder was stopped, or waits for a processor
        const timespec pause{0, 50'000};
        nanosleep(&pause, nullptr);
      }
    }
    sched_yield();
  }
}

void arena::replay(detail::section& s) noexcept {
  const std::uint64_t count = s.pending.load(std::memory_order_acquire);
  if (count > 0 && count <= detail::journal_capacity) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const detail::journal_entry entry = s.journal[i];
      detail::kill_point();
      if (entry.offset % 8 != 0 || entry.offset > size_ - 8) continue;  // only a hostile process writes such a thing
      reinterpret_cast<detail::word*>(base_ + entry.offset)->store(entry.value, std::memory_order_release);
    }
  }
  detail::kill_point();
  s.pending.store(0, std::memory_order_release);
}

namespace detail {

section_guard::section_guard(arena& memory, section& s, section* repair_first) : memory_(memory), section_(s) {
  memory_.lock(s, repair_first);
}
section_guard::~section_guard() { memory_.unlock(section_); }

void section_guard::set(word& target, std::uint64_t value) {
  kill_point();
  if (count_ == journal_capacity) throw std::logic_error("brood: a transaction is larger than the journal");
  section_.journal[count_++] = {memory_.offset_of(target), value};
}

std::uint64_t section_guard::get(const word& target) const noexcept {
  const std::uint64_t offset = memory_.offset_of(target);
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
    reinterpret_cast<word*>(memory_.base() + entry.offset)->store(entry.value, std::memory_order_release);
  }
  kill_point();
  section_.pending.store(0, std::memory_order_release);
  count_ = 0;
  kill_point();
}

}  // namespace detail
}  // namespace brood
