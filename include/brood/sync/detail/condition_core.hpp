// condition_core: nothing but a wait list, in which to be woken is what is waited for.
#pragma once

#include <memory>

#include "brood/arena/detail/wait_operation.hpp"
#include "brood/coroutine/detail/shielded.hpp"
#include "brood/export.hpp"
#include "brood/sync/detail/primitive.hpp"
#include "brood/sync/lock.hpp"

namespace brood::detail {

struct condition_state {
  wait_list waiters;
};

class BROOD_API condition_core final : public primitive<condition_state> {
 public:
  static constexpr std::uint8_t kind_number = condition_kind;
  condition_core(arena& memory, reference block, word& cell)
      : primitive(memory, block, condition_kind, cell) {}
  condition_core(arena& memory, object_name name) : primitive(memory, name, condition_kind) {}

  void notify(std::uint64_t most);
  wait_list& waiters() noexcept { return state().waiters; }
};

/// Enters the list, then releases the lock, then waits to be woken. One that was woken and is cancelled
/// before it goes on passes the notification on, as every wait does with its wake.
class notice_awaiter : public wait_operation<notice_awaiter> {
 public:
  notice_awaiter(condition_core& core, lock_guard& held) noexcept : core_(core), held_(held) {}
  bool attempt() {
    if (!is_listed()) return false;
    if (!held_) return is_in_turn();
    held_.release();
    return false;  // also if it has just been notified: then it was woken
  }
  static constexpr bool more() noexcept { return false; }
  wait_list& list() const noexcept { return core_.waiters(); }
  arena& memory() const noexcept { return core_.memory(); }
  void await_resume() { take(); }

 private:
  condition_core& core_;
  lock_guard& held_;
};

}  // namespace brood::detail
