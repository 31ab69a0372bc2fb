// barrier_core: one word says how many have arrived, in which phase, and whether it is broken.
//
//   arrived k --arrive--> k + 1          the last one then runs its action (others that come meanwhile wait)
//   arrived n --complete--> phase + 1, arrived 0
//   any --abort, a waiter that gives up, a member's death--> broken
//   any --reset--> epoch + 1, arrived 0, not broken; who waited in the epoch before sees it broken
// All by compare-and-swap, each followed by the wakes, under an intent.
// A process becomes a member when it first arrives in an epoch: before that, a cell of its slot says so. The
// cell goes when the process gives the barrier up; found by the clean-up after it, it breaks the barrier.
#pragma once

#include <memory>

#include "brood/arena/detail/wait_operation.hpp"
#include "brood/export.hpp"
#include "brood/sync/detail/primitive.hpp"

namespace brood {

/// The barrier was broken: aborted or reset, a participant gave up, or a member died.
class BROOD_API broken_barrier : public error {
 public:
  broken_barrier() : error("the barrier is broken") {}
};

namespace detail {

struct barrier_state {
  std::uint64_t parties;  // set before anyone else sees it
  word state;             // epoch << 44 | phase << 24 | broken << 23 | arrived
  word spare[6];
  wait_list waiters;
};
static_assert(sizeof(barrier_state) == 64 + sizeof(wait_list));

inline constexpr std::uint64_t most_parties = (std::uint64_t{1} << 23) - 1;

class BROOD_API barrier_core final : public primitive<barrier_state> {
 public:
  static constexpr std::uint8_t kind_number = barrier_kind;
  barrier_core(arena& memory, reference block, word& cell) : primitive(memory, block, barrier_kind, cell) {}
  barrier_core(arena& memory, object_name name) : primitive(memory, name, barrier_kind) {}
  ~barrier_core() override;

  /// One arrival: where in the barrier's life it was, and as which of the phase.
  struct arrival {
    std::uint64_t state = 0;  // after it
    std::uint64_t index = 0;
  };
  enum class outcome { waits, last, full, broken, passed };

  /// `waits` and `last` fill `mine`. After `last` the caller runs what is to be run and then calls
  /// `complete`; until then others find the barrier `full`.
  outcome arrive(arrival& mine);
  /// False if it broke meanwhile.
  bool complete(const arrival& mine);
  outcome look(const arrival& mine) const noexcept;
  /// A participant gives up: breaks the phase it waits in, if that has not ended.
  void give_up(const arrival& mine);
  void abort();
  void reset();
  bool is_broken() const noexcept;
  std::uint64_t arrived() const noexcept;
  std::uint64_t parties() const noexcept { return state().parties; }
  wait_list& waiters() noexcept { return state().waiters; }

 private:
  void enrol(std::uint64_t epoch);
  void wake_all();

  word* membership_ = nullptr;
  std::uint64_t member_ = 0;  // whose cell that is: a fork inherits the pointer and is no member
};

/// `Action` is called by the last to arrive, before the others go on.
template <class Action>
class barrier_awaiter : public wait_operation<barrier_awaiter<Action>> {
 public:
  barrier_awaiter(std::shared_ptr<barrier_core> core, Action action)
      : core_(std::move(core)), action_(std::move(action)) {}

  bool attempt() {
    using outcome = barrier_core::outcome;
    const outcome now = arrived_ ? core_->look(mine_) : core_->arrive(mine_);
    if (now == outcome::broken) {
      arrived_ = false;
      throw broken_barrier();
    }
    arrived_ = arrived_ || now == outcome::waits;
    if (now == outcome::last) finish_phase();
    return now == outcome::last || now == outcome::passed;
  }
  static constexpr bool more() noexcept { return false; }
  wait_list& list() const noexcept { return core_->waiters(); }
  arena& memory() const noexcept { return core_->memory(); }
  std::uint64_t await_resume() {
    try {
      this->take();
    } catch (const cancelled&) {
      if (!arrived_) throw;
      if (core_->look(mine_) != barrier_core::outcome::passed) {
        core_->give_up(mine_);
        throw;
      }
    }
    return mine_.index;
  }

 private:
  void finish_phase() {
    try {
      action_();
    } catch (...) {
      core_->give_up(mine_);
      throw;
    }
    if (!core_->complete(mine_)) throw broken_barrier();
  }

  std::shared_ptr<barrier_core> core_;
  Action action_;
  barrier_core::arrival mine_;
  bool arrived_ = false;  // and waits
};

template <class Action>
class barrier_operation {
 public:
  barrier_operation(std::shared_ptr<barrier_core> core, Action action)
      : core_(std::move(core)), action_(std::move(action)) {}
  barrier_awaiter<Action> operator co_await() && {
    once_.spend();
    return {std::move(core_), std::move(action_)};
  }

 private:
  std::shared_ptr<barrier_core> core_;
  Action action_;
  brood::detail::await_once once_;
};

}  // namespace detail
}  // namespace brood
