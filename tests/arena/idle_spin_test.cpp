// idle_spin: when a loop may look out for a wake before it sleeps.
#include "brood/arena/detail/idle_spin.hpp"

#include "catch.hpp"

using brood::detail::idle_spin;
using namespace std::chrono_literals;

namespace {

void sleep_shortly(idle_spin& spin, std::uint32_t times) {
  for (std::uint32_t i = 0; i < times; ++i) spin.slept(20us);
}

}  // namespace

TEST_CASE("never with one processor") {
  idle_spin spin(1);
  sleep_shortly(spin, 10'000);
  CHECK_FALSE(spin.wanted());
}

TEST_CASE("only after several short sleeps in a row") {
  idle_spin spin(2);
  CHECK_FALSE(spin.wanted());
  sleep_shortly(spin, idle_spin::fewest_short_sleeps - 1);
  spin.slept(1ms);
  sleep_shortly(spin, idle_spin::fewest_short_sleeps - 1);
  CHECK_FALSE(spin.wanted());
  sleep_shortly(spin, 1);
  CHECK(spin.wanted());
  CHECK(spin.limit() == idle_spin::trial);
}

TEST_CASE("as long as it finds something, and then for shorter") {
  idle_spin spin(2);
  sleep_shortly(spin, idle_spin::fewest_short_sleeps);
  spin.spun(false);
  for (int i = 0; i < 100; ++i) {
    spin.spun(true);
    CHECK(spin.wanted());
    CHECK(spin.limit() == idle_spin::usual);
  }
  spin.slept(1ms);
  CHECK_FALSE(spin.wanted());
}

TEST_CASE("spins in vain become rare") {
  idle_spin spin(2);
  std::uint32_t needed = idle_spin::fewest_short_sleeps;
  for (int i = 0; i < 8; ++i) {
    sleep_shortly(spin, needed - 1);
    CHECK_FALSE(spin.wanted());
    sleep_shortly(spin, 1);
    CHECK(spin.wanted());
    spin.spun(false);
    CHECK(spin.wanted());
    spin.spun(false);
    CHECK_FALSE(spin.wanted());
    needed *= 2;
  }
}
