// acquire: waiting for one's turn at a lock or a semaphore, and the rule that makes the turns fair.
//
// Whoever comes when it is free may take it, also past those who wait: handing it to a sleeper every time
// would cost a wake-up for each turn. But not without end: `turns` counts those who went past, and a waiter
// that was woken and came too late sets it to the limit. From then on newcomers queue, until one of those who
// wait has been served. So who stands first is passed over at most `most_turns` times, and at most once after
// it woke. A newcomer that was refused although it was free looks, once it stands in the list, whether
// anybody was woken who will take it, and wakes the first otherwise (`nudge`): whoever it was kept for may
// have been cancelled or killed meanwhile.
#pragma once

#include <memory>
#include <utility>

#include "brood/arena/detail/wait_operation.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/coroutine/detail/trace.hpp"

namespace brood::detail {

inline constexpr std::uint64_t most_turns = 1000;

/// Whether one that was not woken for it has to leave it to those who wait.
inline bool must_queue(const word& turns, wait_list& waiters) noexcept {
  return turns.load(std::memory_order_relaxed) >= most_turns && is_anyone_due(waiters);
}
/// After it was taken. Only who holds it, or the section, comes here.
inline void count_turn(word& turns, wait_list& waiters, bool in_turn) noexcept {
  if (in_turn) {
    turns.store(0, std::memory_order_relaxed);
  } else if (is_anyone_due(waiters)) {
    turns.store(turns.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
}

/// `Core` has `claim` (what an acquisition took), `bool acquire(claim&, bool in_turn)`, `passed_over()`,
/// `nudge()`, `bool more()`, `waiters()`; `Hold` is made of the core and the claim.
template <class Core, class Hold>
class acquire_awaiter : public wait_operation<acquire_awaiter<Core, Hold>> {
 public:
  static constexpr const char* waits_for = Core::traced_as;
  explicit acquire_awaiter(std::shared_ptr<Core> core) noexcept : core_(std::move(core)) {}
  bool attempt() {
    const bool in_turn = this->is_in_turn();
    if (core_->acquire(claim_, in_turn)) return true;
    if (in_turn) {
      core_->passed_over();
    } else if (this->is_listed()) {
      core_->nudge();
    }
    return false;
  }
  bool more() const noexcept { return core_->more(); }
  wait_list& list() const noexcept { return core_->waiters(); }
  arena& memory() const noexcept { return core_->memory(); }
  Hold await_resume() {
    this->take();
    return Hold(std::move(core_), claim_);
  }

 private:
  std::shared_ptr<Core> core_;
  typename Core::claim claim_;
};

template <class Core, class Hold>
class acquire_operation {
 public:
  explicit acquire_operation(std::shared_ptr<Core> core) noexcept : core_(std::move(core)) {}
  acquire_awaiter<Core, Hold> operator co_await() && {
    once_.spend();
    return acquire_awaiter<Core, Hold>(std::move(core_));
  }
  /// For an operation of another kind on the same.
  std::shared_ptr<Core> core() && { return std::move(core_); }

 private:
  std::shared_ptr<Core> core_;
  brood::detail::await_once once_;
};

/// What a guard is made of: a claim of this process, which a fork that inherited it does not own. A trace
/// shows how long it is held, as `Core::traced_as`.
template <class Core>
class hold {
 public:
  hold() = default;
  hold(std::shared_ptr<Core> core, const typename Core::claim& taken) noexcept
      : core_(std::move(core)), claim_(taken), owner_(core_->memory().processes.me()) {
    held_.begin();
  }
  hold(hold&& other) noexcept
      : core_(std::move(other.core_)),
        claim_(other.claim_),
        owner_(std::exchange(other.owner_, 0)),
        held_(std::move(other.held_)) {}
  hold& operator=(hold&& other) noexcept {
    std::swap(core_, other.core_);
    std::swap(claim_, other.claim_);
    std::swap(owner_, other.owner_);
    std::swap(held_, other.held_);
    return *this;
  }
  ~hold() {
    if (is_ours()) core_->release(give_up());
  }

  bool is_ours() const noexcept {
    return owner_ != 0 && family_memory::exists() && !core_->is_gone() &&
           core_->memory().processes.me() == owner_;
  }
  /// Gives the claim up; the caller does with it what is to be done.
  typename Core::claim& give_up() noexcept {
    owner_ = 0;
    held_.end("lock", Core::traced_as, core_->name().block);
    return claim_;
  }
  const std::shared_ptr<Core>& core() const noexcept { return core_; }
  const typename Core::claim& claim() const noexcept { return claim_; }

 private:
  std::shared_ptr<Core> core_;
  typename Core::claim claim_;
  std::uint64_t owner_ = 0;  // 0: nothing is held
  trace_span held_;
};

}  // namespace brood::detail
