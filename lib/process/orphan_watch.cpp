#include "process/orphan_watch.hpp"

#include <cerrno>
#include <new>
#include <utility>

#include "system/pidfd.hpp"

namespace brood::detail {
namespace {

/// An orphan's number for the watch, below 2^56.
constexpr std::uint64_t number_of(process_id id) { return std::uint64_t{id.generation} << 24 | id.slot; }
constexpr process_id id_of(std::uint64_t number) {
  return {static_cast<std::uint32_t>(number & 0xffffff), static_cast<std::uint32_t>(number >> 24)};
}

}  // namespace

orphan_watch::orphan_watch(runtime& loop, death_watch& deaths)
    : deaths_(deaths), retry_(loop, [this] { return !adopt(); }) {}

/// Gives back what a process held in the family's memory.
void orphan_watch::end_in_memory(process_id id) {
  family_memory::on_death(id);
  if (family_memory::next_orphan() && !adopt()) retry_.start();
}

/// Children of dead processes. What one holds is given back when it is dead, not before: it could still be at it.
/// Those that cannot be watched now, for want of memory, stay where they are.
bool orphan_watch::adopt() noexcept {
  while (const auto left = family_memory::next_orphan()) {
    if (left->ended || left->pid == 0) {
      family_memory::on_death(left->id);
    } else if (!await(*left)) {
      return false;
    }
  }
  return true;
}

bool orphan_watch::await(const orphan& left) noexcept {
  const mortal who{mortal::kind::orphan, number_of(left.id)};
  unique_fd pidfd = sys::open_process(left.pid);
  if (!pidfd && errno == ESRCH) {
    family_memory::on_death(left.id);
    return true;
  }
  try {
    watched& kept = watched_[who.number] = {left.pid, std::move(pidfd)};
    if (!kept.pidfd || !deaths_.add(kept.pidfd.get(), who)) {
      kept.pidfd.reset();
      deaths_.add_without_descriptor(left.pid, who);
    }
  } catch (const std::bad_alloc&) {
    watched_.erase(who.number);
    return false;
  }
  family_memory::watch_orphan(left.id);
  return true;
}

void orphan_watch::on_death(std::uint64_t number) {
  const auto buried = watched_.extract(number);
  if (!buried) return;
  if (const unique_fd& pidfd = buried.mapped().pidfd) deaths_.remove(pidfd.get());
  deaths_.remove_without_descriptor({mortal::kind::orphan, number});
  const orphan now{id_of(number), family_memory::pid_of(id_of(number)), false};
  // A fork server had announced that it makes this process, and has ended since.
  if (now.pid != buried.mapped().pid && await(now)) return;
  end_in_memory(now.id);
}

}  // namespace brood::detail
