#include "process/orphan_watch.hpp"

#include <cerrno>
#include <new>
#include <utility>
#include <vector>

#include "process/family.hpp"
#include "system/pidfd.hpp"

namespace brood::detail {
namespace {

/// For the watch, below 2^56. No process of the family has the slot 0.
constexpr std::uint64_t number_of(process_id id, pid_t pid) {
  return id ? std::uint64_t{id.generation} << 24 | id.slot : static_cast<std::uint64_t>(pid) << 24;
}

}  // namespace

orphan_watch::orphan_watch(runtime& loop, death_watch& deaths, std::vector<left_child>& left,
                           std::function<void()> on_empty)
    : deaths_(deaths),
      left_(left),
      on_empty_(std::move(on_empty)),
      retry_(loop, [this] { return !adopt(); }) {
  if (!adopt()) retry_.start();
}

orphan_watch::~orphan_watch() {
  for (const auto& [number, each] : watched_) {
    if (each.pidfd) deaths_.remove(each.pidfd.get());
    deaths_.remove_without_descriptor({mortal::kind::orphan, number});
    if (!each.own) family_memory::unwatch_orphan(each.id);
  }
}

/// Gives back what a process held in the family's memory.
void orphan_watch::end_in_memory(process_id id) {
  family_memory::on_death(id);
  if ((on_empty_ || family_memory::next_orphan()) && !adopt()) retry_.start();
}

/// What one holds is given back when it is dead, not before: it could still be at it.
/// Those that cannot be watched now, for want of memory, stay where they are.
bool orphan_watch::adopt() noexcept {
  for (const left_child& each : left_) {
    if (!watched_.contains(number_of(each.in_memory, each.pid)) && !await(each.in_memory, each.pid, true))
      return false;
  }
  while (const auto left = family_memory::next_orphan()) {
    if (left->ended || left->pid == 0) {
      family_memory::on_death(left->id);
    } else if (!await(left->id, left->pid, false)) {
      return false;
    }
  }
  if (on_empty_ && watched_.empty()) on_empty_();
  return true;
}

bool orphan_watch::await(process_id id, pid_t pid, bool own) noexcept {
  const mortal who{mortal::kind::orphan, number_of(id, pid)};
  unique_fd pidfd = sys::open_process(pid);
  if (!pidfd && errno == ESRCH && !own) {
    family_memory::on_death(id);
    return true;
  }
  try {
    watched& kept = watched_[who.number] = {id, pid, own, std::move(pidfd)};
    if (!kept.pidfd || !deaths_.add(kept.pidfd.get(), who)) {
      kept.pidfd.reset();
      deaths_.add_without_descriptor(pid, who);
    }
  } catch (const std::bad_alloc&) {
    watched_.erase(who.number);
    return false;
  }
  if (!own) family_memory::watch_orphan(id);
  return true;
}

void orphan_watch::on_death(std::uint64_t number) {
  const auto buried = watched_.extract(number);
  if (!buried) return;
  const watched& dead = buried.mapped();
  if (dead.pidfd) deaths_.remove(dead.pidfd.get());
  deaths_.remove_without_descriptor({mortal::kind::orphan, number});
  if (dead.own) {
    static_cast<void>(dead.pidfd ? sys::reap(dead.pidfd.get()) : sys::reap_by_number(dead.pid));
    std::erase_if(left_, [&](const left_child& each) { return each.pid == dead.pid; });
  } else if (family_memory::pid_of(dead.id) != dead.pid) {
    // A fork server had announced that it makes this process, and has ended since: the process itself is alive.
    family_memory::unwatch_orphan(dead.id);
    if (!adopt()) retry_.start();
    return;
  }
  end_in_memory(dead.id);
}

}  // namespace brood::detail
