// idle_spin: whether a loop with nothing to do looks out for a wake for a moment before it sleeps.
//
// Two loops that answer each other through shared memory spend most of a round trip on going to sleep and being woken:
// a datagram, two system calls to take it, and twice the scheduler. An answer that comes within a few microseconds is
// cheaper to await awake. But spinning takes the processor from whoever could make the answer, so it has to earn its
// keep:
//   - never with one usable processor;
//   - only after the last few sleeps were short, as a sleep that a spin could have saved is;
//   - a spin that found nothing counts against the next ones: after two in a row there are none until sleeps have been
//     short for a while again, and that while doubles with each disappointment.
// Both sides have to be awake at once for it to work, and the first time the other one sleeps: it takes a wake-up
// (15 to 20 us on a virtual machine) to find out. So the two trials last longer; once answers come they come in one or
// two microseconds. The rule that the loop never blocks holds: the longest spin is a fraction of what the coroutines of
// one turn may run, and trials that fail become rare.
// Measured, 64 bytes there and back: asleep 38 us, a bare socket pair 33, spinning 2.3; with trials of 5 us the two never
// met. On a machine with more to run than processors, where both sides sleep: 18 us, the socket pair 17.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace brood::detail {

class idle_spin {
 public:
  using duration = std::chrono::nanoseconds;

  static constexpr duration usual{5'000};
  static constexpr duration trial{25'000};
  /// A sleep as long as this could have been an answer within a trial and the time to wake for it.
  static constexpr duration short_sleep{60'000};
  static constexpr std::uint32_t fewest_short_sleeps = 4;
  static constexpr std::uint32_t most_short_sleeps = 4096;

  explicit idle_spin(unsigned processors) noexcept : possible_(processors > 1) {}

  bool wanted() const noexcept { return possible_ && short_sleeps_ >= needed_; }
  duration limit() const noexcept { return met_ ? usual : trial; }

  /// After a spin.
  void spun(bool found) noexcept {
    if (found) {
      met_ = true;
      in_vain_ = 0;
      needed_ = std::max(needed_ / 2, fewest_short_sleeps);
      short_sleeps_ = std::max(short_sleeps_, needed_);
    } else if (++in_vain_ == 2) {
      met_ = false;
      in_vain_ = 0;
      needed_ = std::min(needed_ * 2, most_short_sleeps);
      short_sleeps_ = 0;
    }
  }
  /// After a sleep that a wake from another process ended.
  void slept(duration time) noexcept { short_sleeps_ = time <= short_sleep ? short_sleeps_ + 1 : 0; }

 private:
  bool possible_;
  bool met_ = false;  // the last spins found something
  std::uint32_t needed_ = fewest_short_sleeps;
  std::uint32_t short_sleeps_ = 0;
  std::uint32_t in_vain_ = 0;
};

}  // namespace brood::detail
