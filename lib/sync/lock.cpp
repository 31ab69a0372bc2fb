// Locks as their users see them; what happens in shared memory is in lock_core.cpp.
#include "brood/sync/lock.hpp"

#include <stdexcept>

#include "brood/sync/rlock.hpp"

namespace brood {

void lock_guard::release() {
  if (!hold_.is_ours()) throw std::logic_error("brood::lock: released by somebody who does not hold it");
  hold_.core()->release(hold_.give_up());
}

std::optional<lock_guard> lock::try_acquire() const {
  detail::lock_core::claim claim;
  if (!core()->acquire(claim, false)) return std::nullopt;
  return lock_guard(core(), claim);
}

std::shared_ptr<detail::lock_core> lock::make() const {
  return detail::create_primitive<detail::lock_core>(family_memory::get(), [](detail::lock_state&) {});
}

void rlock_guard::release() {
  if (!hold_.is_ours()) throw std::logic_error("brood::rlock: released by somebody who does not hold it");
  hold_.core()->release(hold_.give_up());
}

std::optional<rlock_guard> rlock::try_acquire() const {
  detail::rlock_core::claim claim;
  if (!core()->acquire(claim, false)) return std::nullopt;
  return rlock_guard(core(), claim);
}

std::shared_ptr<detail::rlock_core> rlock::make() const {
  return detail::create_primitive<detail::rlock_core>(family_memory::get(), [](detail::lock_state&) {});
}

}  // namespace brood
