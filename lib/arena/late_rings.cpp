#include "arena/late_rings.hpp"

#include "brood/arena/family_memory.hpp"

namespace brood::detail {

late_rings::late_rings(runtime& loop)
    : memory_(family_memory::get()), retry_(loop, [this] { return try_again(); }) {}

void late_rings::owe(arena& memory, std::uint32_t slot) noexcept {
  runtime* const loop = runtime::current_or_null();
  if (loop != nullptr && executor::current_or_null() == loop) {
    try {
      return loop->use<late_rings>().add(slot);
    } catch (...) {  // no memory, or the loop is closing: better late than never
    }
  }
  while (!memory.press_doorbell(slot)) memory.await_doorbell();
}

void late_rings::add(std::uint32_t slot) {
  owed_.insert(slot);
  memory_.my_slot().owes_rings.store(1, std::memory_order_release);
  retry_.start();
}

/// Whether some are left.
bool late_rings::try_again() noexcept {
  std::erase_if(owed_, [this, room = true](std::uint32_t slot) mutable {
    return room = room && memory_.press_doorbell(slot);
  });
  if (owed_.empty()) memory_.my_slot().owes_rings.store(0, std::memory_order_release);
  return !owed_.empty();
}

}  // namespace brood::detail
