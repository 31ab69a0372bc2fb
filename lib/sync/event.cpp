// Events: a flag with a count of how often it was set, so that nobody misses one that was cleared at once.
#include "brood/sync/event.hpp"

#include "brood/arena/detail/intent.hpp"

namespace brood {
namespace detail {
namespace {

/// A wake is an advice to look again, so it does not matter whether the dead one had set it.
void repair_event(arena& memory, reference block) {
  event_state& s = memory.map.state_at<event_state>(block);
  repair(memory, s.waiters);
  wake(memory, s.waiters, UINT64_MAX);
}

const object_kind event_functions{nullptr, repair_event, nullptr};
const bool registered = [] {
  register_object_kind(event_kind, event_functions);
  return true;
}();

}  // namespace

void event_core::set() {
  event_state& s = state();
  memory().processes.require_slot();
  const intent named(memory(), name().block);
  std::uint64_t now = s.state.load(std::memory_order_relaxed);
  do {
    if ((now & 1) != 0) return;  // whoever set it wakes them
  } while (!s.state.compare_exchange_weak(now, now + 3, std::memory_order_seq_cst));
  kill_point();
  if (has_waiters(s.waiters)) wake(memory(), s.waiters, UINT64_MAX);
}

void event_core::clear() noexcept {
  kill_point();
  state().state.fetch_and(~std::uint64_t{1}, std::memory_order_seq_cst);
}

}  // namespace detail

std::shared_ptr<detail::event_core> event::make() const {
  return detail::create_primitive<detail::event_core>(family_memory::get(), [](detail::event_state&) {});
}

}  // namespace brood
