// Wait lists: doubly linked through the entries, changed in transactions. The argument and the repair rules are in the header.
#include "brood/arena/detail/wait_list.hpp"

#include <algorithm>

#include "arena/link.hpp"

namespace brood::detail {
namespace {

// `ends` has the same shape: last << 32 | first.

constexpr std::uint64_t one_woken = std::uint64_t{1} << 32;  // in `on_their_way`

wait_entry& entry_at(arena& memory, std::uint64_t r) {
  return memory.map.at<wait_entry>(static_cast<reference>(r));
}

void unlink(arena& memory, section_guard& g, wait_list& list, wait_entry& entry) {
  const std::uint64_t link = g.get(entry.link);
  const std::uint64_t next = next_of(link);
  const std::uint64_t previous = previous_of(link);
  std::uint64_t first = next_of(g.get(list.ends()));
  std::uint64_t last = previous_of(g.get(list.ends()));
  if (previous == 0) {
    first = next;
  } else {
    word& w = entry_at(memory, previous).link;
    g.set(w, make_link(previous_of(g.get(w)), next));
  }
  if (next == 0) {
    last = previous;
  } else {
    word& w = entry_at(memory, next).link;
    g.set(w, make_link(previous, next_of(g.get(w))));
  }
  g.set(list.ends(), make_link(last, first));
  g.add(list.count(), -std::uint64_t{1});
}

/// The entry was woken and is about to try again, or never will.
void arrive(section_guard& g, wait_list& list, wait_entry& entry) {
  const std::uint64_t counted = g.get(entry.on_its_way);
  if (counted == 0) return;
  g.set(entry.on_its_way, 0);
  g.add(list.on_their_way(), -counted);
}

/// With the section held: sets the bit of the entry that was taken out last, and names whom to ring.
std::uint64_t finish_delivery(arena& memory, wait_list& list) noexcept {
  const std::uint64_t owner = list.delivering_owner().load(std::memory_order_relaxed);
  if (owner == 0) return 0;
  memory.wakes.deliver(owner, list.delivering_home().load(std::memory_order_relaxed));
  kill_point();
  memory.processes.my_slot().intent_ring.store(owner, std::memory_order_release);
  kill_point();
  list.delivering_owner().store(0, std::memory_order_release);
  return owner;
}

void ring_now(arena& memory, std::uint64_t owner) noexcept {
  if (owner == 0) return;
  kill_point();
  memory.wakes.ring(owner);
  kill_point();
  memory.processes.my_slot().intent_ring.store(0, std::memory_order_release);
}

/// Takes the section; finishes a delivery that a killed holder left behind.
struct list_guard : section_guard {
  list_guard(arena& memory, wait_list& list) : section_guard(memory.processes, list.guard) {
    if (list.delivering_owner().load(std::memory_order_relaxed) != 0) {
      // Rare, so the system call may be made inside.
      ring_now(memory, finish_delivery(memory, list));
    }
  }
};

}  // namespace

void enqueue(arena& memory, wait_list& list, wait_entry& entry, bool at_front) {
  // The transaction holds words of this process, so it must be brought to an end before its slot is used again.
  word& intent = memory.processes.my_slot().intent_list;
  const std::uint64_t outer = intent.load(std::memory_order_relaxed);
  intent.store(memory.map.to_reference(list), std::memory_order_release);
  {
    list_guard g(memory, list);
    const std::uint64_t ends = g.get(list.ends());
    const std::uint64_t first = next_of(ends);
    const std::uint64_t last = previous_of(ends);
    const std::uint64_t self = memory.map.to_reference(entry);
    arrive(g, list, entry);
    g.set(entry.link, at_front ? make_link(0, first) : make_link(last, 0));
    g.set(entry.list, memory.map.to_reference(list));
    g.set(entry.state, static_cast<std::uint64_t>(wait_state::waiting));
    if (const std::uint64_t neighbour = at_front ? first : last; neighbour != 0) {
      word& w = entry_at(memory, neighbour).link;
      g.set(w, at_front ? make_link(self, next_of(g.get(w))) : make_link(previous_of(g.get(w)), self));
    }
    g.set(list.ends(), make_link(at_front && last != 0 ? last : self, at_front || first == 0 ? self : first));
    g.add(list.count(), 1);
    g.commit();
  }
  intent.store(outer, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

bool leave(arena& memory, wait_list& list, wait_entry& entry) {
  // Named before it is known whether it was woken: a kill in between then costs one wake too many.
  memory.processes.my_slot().intent_list.store(memory.map.to_reference(list), std::memory_order_release);
  bool woken = false;
  {
    list_guard g(memory, list);
    if (g.get(entry.state) == static_cast<std::uint64_t>(wait_state::waiting)) {
      unlink(memory, g, list, entry);
    } else {
      woken = g.get(entry.state) == static_cast<std::uint64_t>(wait_state::woken);
      arrive(g, list, entry);
    }
    g.set(entry.state, static_cast<std::uint64_t>(wait_state::idle));
    g.set(entry.list, 0);
    g.commit();
  }
  if (!woken) memory.processes.my_slot().intent_list.store(0, std::memory_order_release);
  return woken;
}

void settle_wake(arena& memory, wait_list& list, bool for_others) {
  kill_point();
  if (for_others) wake(memory, list, 1);
  memory.processes.my_slot().intent_list.store(0, std::memory_order_release);
}

std::uint64_t wake(arena& memory, wait_list& list, std::uint64_t most) {
  word& intent = memory.processes.my_slot().intent_list;
  const std::uint64_t outer = intent.load(std::memory_order_relaxed);
  intent.store(memory.map.to_reference(list), std::memory_order_release);
  kill_point();
  // Those who are there now: one that finds nothing and comes back is not to be woken again by the same call.
  most = std::min(most, list.count().load(std::memory_order_relaxed));
  std::uint64_t woken = 0;
  while (woken < most) {
    std::uint64_t owner = 0;
    {
      list_guard g(memory, list);
      const std::uint64_t first = next_of(g.get(list.ends()));
      if (first == 0) break;
      wait_entry& entry = entry_at(memory, first);
      unlink(memory, g, list, entry);
      g.set(entry.state, static_cast<std::uint64_t>(wait_state::woken));
      const bool asleep = memory.wakes.is_asleep(entry.owner.load(std::memory_order_relaxed));
      const std::uint64_t counted = one_woken | (asleep ? 1 : 0);
      g.set(entry.on_its_way, counted);
      g.add(list.on_their_way(), counted);
      if (asleep) g.set(list.last_wake(), coarse_clock());
      g.set(list.delivering_home(), entry.home.load(std::memory_order_relaxed));
      g.set(list.delivering_owner(), entry.owner.load(std::memory_order_relaxed));
      g.commit();
      owner = finish_delivery(memory, list);
    }
    ring_now(memory, owner);
    ++woken;
  }
  kill_point();
  intent.store(outer, std::memory_order_release);
  return woken;
}

void repair(arena& memory, wait_list& list) { list_guard g(memory, list); }

}  // namespace brood::detail
