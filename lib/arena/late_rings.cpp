#include "arena/late_rings.hpp"

#include "brood/arena/arena.hpp"
#include "brood/arena/family_memory.hpp"

namespace brood::detail {
namespace {

bool left_over = false;  // owed, and no timer runs for it

bool pay(wakes& all) noexcept {
  if (!all.ring_all_woken()) return false;
  all.debt().store(0, std::memory_order_release);
  return true;
}

}  // namespace

late_rings::late_rings(runtime& loop) : retry_(loop, [] { return !pay(family_memory::get().wakes); }) {}

void late_rings::owe(wakes& all) noexcept {
  constexpr int most_tries = 1000;
  all.debt().store(1, std::memory_order_release);
  runtime* const loop = runtime::current_or_null();
  if (loop != nullptr && executor::current_or_null() == loop) {
    try {
      return loop->use<late_rings>().retry_.start();
    } catch (...) {  // no memory, or the loop is closing
    }
  } else {
    for (int i = 0; i < most_tries; ++i) {
      if (pay(all)) return;
      all.await_doorbell();
    }
  }
  left_over = true;
}

void late_rings::pay_leftover(wakes& all) noexcept {
  if (left_over) [[unlikely]]
    left_over = !pay(all);
}

}  // namespace brood::detail
