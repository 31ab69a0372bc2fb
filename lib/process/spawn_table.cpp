#include "process/spawn_table.hpp"
#include "system/calls.hpp"

#include <algorithm>
#include <csignal>

namespace brood::detail {
namespace {

constexpr std::size_t header_size = 64;  // a cache line
constexpr std::size_t slots_end = header_size + std::size_t{spawn_table::slots} * sizeof(spawn_slot);
/// The same in all processes of a family, as all are the same program.
std::size_t table_size() noexcept {
  return slots_end + (traces_crashes() ? std::size_t{spawn_table::slots} * sizeof(crash_record) : 0);
}

}  // namespace

unique_fd spawn_table::make_file() { return sys::memory_file("brood-children", table_size()); }

spawn_table::spawn_table(int file) : file_(file, table_size(), sys::mapped_file::access::shared) {}

spawn_slot& spawn_table::operator[](std::uint32_t slot) const noexcept {
  return *reinterpret_cast<spawn_slot*>(file_.data() + header_size + std::size_t{slot} * sizeof(spawn_slot));
}

spawn_table::header& spawn_table::head() const noexcept { return *reinterpret_cast<header*>(file_.data()); }

pid_t spawn_table::pid(std::uint32_t slot) const noexcept {
  return std::atomic_ref((*this)[slot].pid).load(std::memory_order_acquire);
}

void spawn_table::release_pid(std::uint32_t slot) const noexcept {
  std::atomic_ref((*this)[slot].pid).store(0, std::memory_order_release);
}

void spawn_table::clear(std::uint32_t slot) const noexcept { (*this)[slot] = {0, stage::none, 0, 0, 0, 0}; }

crash_record& spawn_table::crash(std::uint32_t slot) const noexcept {
  return *reinterpret_cast<crash_record*>(file_.data() + slots_end +
                                          std::size_t{slot} * sizeof(crash_record));
}

crash_target spawn_table::crash_target_of(spawn_slot& slot) const noexcept {
  if (!traces_crashes()) return {};
  return {&crash(static_cast<std::uint32_t>(&slot - &(*this)[0])), &slot.crashed};
}

void spawn_table::ask_to_stop(std::uint32_t slot, clock::time_point when) const noexcept {
  const std::chrono::nanoseconds since_boot = when.time_since_epoch();
  std::atomic_ref((*this)[slot].stop_by)
      .store(static_cast<std::uint64_t>(since_boot.count()), std::memory_order_release);
}

void spawn_table::note_used(std::uint32_t count) const noexcept {
  if (head().used.load(std::memory_order_relaxed) < count)
    head().used.store(count, std::memory_order_release);
}

void spawn_table::kill_groups() const noexcept {
  const std::uint32_t used = std::min(head().used.load(std::memory_order_acquire), slots);
  for (std::uint32_t i = 0; i < used; ++i) {
    const pid_t child = pid(i);
    if (child > 1 && (*this)[i].detached == 0) {
      sys::kill(-child, SIGKILL);
      sys::kill(child, SIGKILL);
    }
  }
}

}  // namespace brood::detail
