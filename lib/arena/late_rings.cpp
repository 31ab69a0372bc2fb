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
  const auto added = owed_.try_emplace(slot, nullptr).first;
  // The caller may hold a section, in which no memory can be asked for: then it gets its cell from the timer.
  if (memory_.has_spare_cell()) name_in_cell(*added);
  retry_.start();
}

/// Whether some are left.
bool late_rings::try_again() noexcept {
  bool room = true;
  for (auto next = owed_.begin(); next != owed_.end();) {
    room = room && memory_.press_doorbell(next->first);
    if (room) {
      clear_cell(*next);
      next = owed_.erase(next);
    } else {
      name_in_cell(*next);
      ++next;
    }
  }
  return !owed_.empty();
}

void late_rings::name_in_cell(debt& owed) noexcept {
  auto& [slot, cell] = owed;
  if (cell != nullptr) return;
  try {
    cell = &memory_.take_cell();
    cell->store(make_cell(held::ring, slot), std::memory_order_release);
  } catch (const arena_full&) {  // tried again by the timer
  }
}

void late_rings::clear_cell(debt& owed) noexcept {
  word* const cell = owed.second;
  if (cell == nullptr) return;
  cell->store(0, std::memory_order_release);
  memory_.return_cell(*cell);
}

}  // namespace brood::detail
