// intent: the name of the object a process is changing, for whoever cleans up after it.
#pragma once

#include <atomic>

#include "brood/arena/arena.hpp"

namespace brood::detail {

/// Names an object as the one this process is changing, while it lives: should the process die, the object's
/// kind repairs it. Needed wherever progress is made that somebody has to be woken for, and wherever a
/// transaction of one of its sections holds words of this process (its cells): they must be brought to an end
/// before its slot goes to somebody else.
class intent {
 public:
  intent(arena& memory, reference object)
      : word_(memory.processes.my_slot().intent_object), outer_(word_.load(std::memory_order_relaxed)) {
    word_.store(object, std::memory_order_release);
    kill_point();
  }
  ~intent() {
    kill_point();
    word_.store(outer_, std::memory_order_release);
  }
  intent(const intent&) = delete;
  intent& operator=(const intent&) = delete;

 private:
  word& word_;
  std::uint64_t outer_;
};

/// Between progress and the look at the count of waiters. Leaving a section is an exchange, a full barrier on
/// x86.
inline void wake_barrier() noexcept {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace brood::detail
