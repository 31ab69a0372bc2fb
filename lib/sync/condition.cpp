// Conditions: the wait is two, one for the notification and one for the lock, of which the second cannot be
// cancelled.
#include "brood/sync/condition.hpp"

#include <exception>
#include <stdexcept>

namespace brood {
namespace detail {
namespace {

void repair_condition(arena& memory, reference block) {
  repair(memory, memory.map.state_at<condition_state>(block).waiters);
}

const object_kind condition_functions{nullptr, repair_condition, nullptr};
const bool registered = [] {
  register_object_kind(condition_kind, condition_functions);
  return true;
}();

}  // namespace

void condition_core::notify(std::uint64_t most) {
  memory().processes.require_slot();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (most != 0 && has_waiters(state().waiters)) wake(memory(), state().waiters, most);
}

}  // namespace detail

std::shared_ptr<detail::condition_core> condition::make() const {
  return detail::create_primitive<detail::condition_core>(family_memory::get(),
                                                          [](detail::condition_state&) {});
}

task<> condition::wait_for_notice(condition on, lock_guard& held) {
  if (!held || held.hold_.core() != on.lock_.core()) {
    throw std::logic_error("brood::condition::wait: the condition's lock is not held");
  }
  std::exception_ptr failure;
  try {
    detail::notice_awaiter notice(*on.core(), held);
    co_await notice;
  } catch (...) {
    failure = std::current_exception();
  }
  if (!held) {
    detail::shielded again(on.lock_.acquire());
    held = co_await again;
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace brood
