// What concerns more than one of the arena's parts.
#include "brood/arena/arena.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena/stop_point.hpp"
#include "system/calls.hpp"

namespace brood {

#ifdef BROOD_KILL_FUZZ
namespace detail {
namespace {
std::uint64_t points_passed = 0;
std::uint64_t points_left = 0;
void (*at_last_point)() noexcept = nullptr;  // nothing: the process is killed there
}  // namespace
void arm_kill_point(std::uint64_t steps) noexcept { arm_stop_point(steps, nullptr); }
void arm_stop_point(std::uint64_t steps, void (*stop)() noexcept) noexcept {
  points_left = steps;
  at_last_point = stop;
}
std::uint64_t kill_points_passed() noexcept { return points_passed; }
void kill_point() noexcept {
  ++points_passed;
  if (points_left == 0 || --points_left != 0) return;
  if (at_last_point != nullptr) return at_last_point();
  sys::kill(::getpid(), SIGKILL);
}
}  // namespace detail
#endif

std::unique_ptr<arena> arena::create(std::size_t size) {
  std::unique_ptr<arena> made(new arena(size));
  made->processes.found_family();
  made->heap.lay_out();
  return made;
}

std::unique_ptr<arena> arena::attach(int fd) {
  return std::unique_ptr<arena>(new arena(detail::mapping::inherited{fd}));
}

process_id arena::reserve_slot() {
  processes.require_slot();
  wakes.prepare_to_ring();
  return processes.reserve_slot();
}

void arena::adopt_slot(process_id id) {
  processes.adopt_slot(id);
  wakes.start_anew();
}

int arena::become_caretaker() {
  const int other = processes.become_caretaker();
  if (other != 0) return other;
  wakes.start_anew();
  processes.adopt_first_process();
  return 0;
}

void arena::forget_slot() noexcept {
  processes.forget_slot();
  heap.forget();
  wakes.forget();
}

void arena::disown() noexcept {
  forget_slot();
  wakes.forget_doorbell();
}

bool arena::acquire(detail::reference block, std::uint8_t block_kind, std::uint32_t generation,
                    detail::word& holder) {
  processes.require_slot();
  wakes.prepare_to_ring();
  return heap.acquire(block, block_kind, generation, holder);
}

arena_statistics arena::statistics() const {
  arena_statistics counted;
  heap.count(counted);
  struct stat status{};
  if (sys::fstat(map.fd(), &status) == 0)
    counted.bytes_resident = static_cast<std::uint64_t>(status.st_blocks) * 512;
  for (std::uint32_t i = 1; i < map.header().slots_cut.load(std::memory_order_relaxed); ++i) {
    if (static_cast<std::uint32_t>(map.slot_at(i).state.load(std::memory_order_relaxed)) != 0)
      ++counted.processes;
  }
  return counted;
}

}  // namespace brood
