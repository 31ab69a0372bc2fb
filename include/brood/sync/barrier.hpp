// barrier: a place where a number of coroutines, of any processes of the family, wait for each other.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/export.hpp"
#include "brood/sync/detail/barrier_core.hpp"

namespace brood {

/// `barrier b{n};` for n participants, again and again. A small handle: copies name the same barrier, in this
/// process, in others and inside messages. It lives until the last handle of the last process and message is
/// gone. A broken barrier throws `broken_barrier` at all who wait and all who arrive, until somebody calls
/// `reset`. Deaths: a process that has arrived is a member from then on, until its last handle is gone or the
/// barrier is reset; if it ends before, also by `exit`, the barrier breaks, as the others would wait for
/// ever. Thread: the one that runs this process's loop.
class BROOD_API barrier : public detail::shared_handle<barrier, detail::barrier_core> {
 public:
  /// Throws `std::invalid_argument` for no participants, or more than 2^23 - 1. The memory is taken at the
  /// first use; then `arena_full`, and `std::logic_error` without `brood::init`.
  explicit barrier(std::uint64_t participants);
  /// Names no barrier, until one is decoded into it or assigned: using it throws `std::logic_error`.
  barrier() = default;

  /// Waits until all have arrived; gives which of them this one was: 0 to n - 1, each once. Throws
  /// `broken_barrier`. Cancellation, thus a timeout too: the others cannot go on without this one, so it
  /// breaks the barrier; if all had arrived already it counts as passed.
  [[nodiscard]] auto arrive() const {
    const auto nothing = [] {};
    return detail::barrier_operation(core(), nothing);
  }
  /// The same; if this is the last to arrive it calls `action()` before the others go on. What it throws
  /// breaks the barrier and is thrown here.
  template <class Action>
    requires std::invocable<Action&>
  [[nodiscard]] detail::barrier_operation<std::decay_t<Action>> arrive(Action&& action) const {
    detail::require_safe_function<Action>();
    return {core(), std::forward<Action>(action)};
  }

  /// Breaks it.
  void abort() const { core()->abort(); }
  /// Whoever waits gets `broken_barrier`; after that it is as new.
  void reset() const { core()->reset(); }
  bool broken() const { return core()->is_broken(); }
  /// How many have arrived and wait, at this moment.
  std::uint64_t waiting() const { return core()->arrived(); }
  std::uint64_t participants() const { return core()->parties(); }

 private:
  friend class detail::shared_handle<barrier, detail::barrier_core>;
  std::shared_ptr<detail::barrier_core> make() const;

  std::uint64_t participants_ = 0;
};

}  // namespace brood
