// Lanes: results out of them, tasks into them, and from the slow to the idle.
#include <algorithm>
#include <cstring>

#include "brood/coroutine/sleep.hpp"
#include "brood/pool/detail/scheduler.hpp"

namespace brood::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t first_depth = 2;
/// A lane found empty so soon after it was filled is filled with more, one that lasts so long with less.
constexpr auto emptied_soon = 2ms;
constexpr auto lasts_long = 10ms;

}  // namespace

task<> scheduler::dispatch(std::shared_ptr<scheduler> self) {
  try {
    while (!self->ended_ || self->occupied_ != 0) {
      co_await hub_awaiter(*self->hub_);
      self->harvest_all();
      self->fill();
      co_await yield();  // those who wait for results take them before there are more
    }
  } catch (const cancelled&) {
  } catch (...) {
    self->give_up(std::current_exception());
  }
  self->loop_.stop_timer(self->tick_);
  self->loop_.withdraw(self->refill_);
}

// ---- out ----

void scheduler::harvest_all() {
  for (std::uint64_t i = 0; i < hub_->words(); ++i) {
    for (std::uint64_t bits = hub_->take(i); bits != 0; bits &= bits - 1) {
      const auto index = i * 64 + static_cast<std::uint64_t>(__builtin_ctzll(bits));
      if (index < seats_.size() && seats_[index].occupied) harvest(seats_[index]);
    }
  }
}

void scheduler::harvest(seat& s) {
  if (s.lane == nullptr) return;
  if (!s.ready && s.child && s.lane->is_ready()) worker_ready(s);
  const std::uint32_t published = s.lane->published();
  if (published == s.taken) return;
  const std::uint32_t had = s.load();
  while (s.taken != published) {
    lane_slot& slot = s.lane->slot(s.taken);
    given_task task = std::move(s.tasks[s.taken % lane_slots]);
    ++s.taken;
    s.timed -= slot.timed;
    ++counts_.tasks_done;
    deliver(s, slot, task);
  }
  queued_in_lanes_ -= had - std::max(s.load(), 1u);
  const auto now = clock::now();
  if (s.load() == 0) {
    if (now - s.filled < emptied_soon) s.depth = std::min(s.depth * 2, lane_slots);
    s.idle_since = now;
    if (settings_.idle_timeout.count() > 0) check_at(time_after(now, settings_.idle_timeout));
    if (s.retiring) s.lane->close();
  } else if (now - s.filled > lasts_long) {
    s.depth = std::max(s.depth / 2, first_depth);
  }
  if (s.load() < s.depth) list(s);
}

void scheduler::deliver(seat& s, lane_slot& slot, given_task& task) {
  job& owner = *task.owner;
  const bool was_over = owner.is_over();
  if (!was_over) {
    const auto ending = static_cast<task_ending>(slot.ending.load(std::memory_order_acquire));
    try {
      result_reader results(memory_, slot, s.name, s.child ? s.child->pid() : 0);
      std::uint32_t next = slot.first + results.done();
      owner.deliver(task.first + slot.first, results);
      if (ending == task_ending::no_memory && next < slot.last) {
        owner.lose(task.first + next, std::make_exception_ptr(arena_full()));
        ++next;
      }
      const bool unfinished = ending == task_ending::split || ending == task_ending::no_memory;
      if (unfinished && next < slot.last && !owner.is_over()) {
        slot.first = next;
        parked_task rest = unpack(s, s.taken - 1);
        rest.task = given_task{&owner, task.first, task.attempts, task.kept};
        ++owner.in_flight;
        parked_.push_back(std::move(rest));
      }
    } catch (...) {
      owner.fail(std::current_exception());
    }
  }
  s.lane->free_result(slot);
  // What else runs of a job that failed just now need not go on.
  if (!was_over && owner.is_over() && owner.in_flight > 1) cancel(owner, false);
  task_over(task);
}

// ---- in ----

void scheduler::list(seat& s) {
  if (s.listed || !s.ready || s.retiring) return;
  s.listed = true;
  roomy_.push_back(s.index);
}

void scheduler::fill() {
  if (ended_) return;
  if (anything_to_give()) fill_idle();
  if (anything_to_give()) fill_deep();
  if (anything_to_give()) {
    if (ready_ != seats_.size()) {
      start_workers(std::max(occupied_, static_cast<std::uint32_t>(parked_.size() + active_.size())));
    }
  } else if (queued_in_lanes_ != 0) {
    steal();
  }
}

/// One task for each seat that has none; who was idle last comes first, so that others may be idle for long.
void scheduler::fill_idle() {
  for (std::size_t i = roomy_.size(); i-- > 0 && anything_to_give();) {
    seat& s = seats_[roomy_[i]];
    if (s.ready && !s.retiring && s.load() == 0) give(s, 1);
  }
}

void scheduler::fill_deep() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < roomy_.size(); ++i) {
    seat& s = seats_[roomy_[i]];
    if (s.ready && !s.retiring && s.load() < s.depth && anything_to_give()) give(s, s.depth - s.load());
    s.listed = s.ready && !s.retiring && s.load() < s.depth;
    if (s.listed) roomy_[kept++] = s.index;
  }
  roomy_.resize(kept);
}

/// Up to `most` tasks, with one wake-up. Jobs take turns, by such bursts.
void scheduler::give(seat& s, std::uint32_t most) {
  const std::uint32_t had = s.load();
  std::uint32_t count = 0;
  while (count < most && anything_to_give()) {
    const std::uint32_t number = s.given + count;
    given_task& task = s.tasks[number % lane_slots];
    if (!write_next(s, s.lane->prepare(number), task)) continue;
    ++task.owner->in_flight;
    ++count;
    if (s.retiring) break;
  }
  if (active_.size() > 1) {
    active_.push_back(active_.front());
    active_.pop_front();
  }
  if (count == 0) return;
  s.given += count;
  counts_.tasks_given += count;
  queued_in_lanes_ += std::max(s.load(), 1u) - std::max(had, 1u);
  s.filled = clock::now();
  if (had == 0) check_at(s.filled + patience);
  s.lane->give(count);
  s.lane->wake_worker();
}

/// False if the job turned out to have nothing; it has failed then.
bool scheduler::write_next(seat& s, lane_slot& slot, given_task& task) {
  if (!parked_.empty()) {
    write_parked(s, slot, task);
  } else {
    try {
      write_new(s, slot, task);
    } catch (...) {
      active_.front()->fail(std::current_exception());
      return false;
    }
  }
  const job& owner = *task.owner;
  slot.timed = owner.settings().shortest().count() > 0 ? 1 : 0;
  slot.stop_at_error = owner.settings().stop_at_error ? 1 : 0;
  if (slot.timed) note_deadline(s, owner);
  if (settings_.max_tasks != 0) {
    const std::uint64_t items = slot.last - slot.first;
    s.quota -= std::min(s.quota, items);
    if (s.quota == 0) s.retiring = true;  // it ends when what it has is done
  }
  return true;
}

void scheduler::write_new(seat& s, lane_slot& slot, given_task& task) {
  job& owner = *active_.front();
  task_draft draft(memory_, slot, settings_.max_tasks != 0 ? s.quota : UINT32_MAX);
  slot.block = 0;
  slot.size = 0;
  owner.produce(draft);
  slot.function = owner.function();
  task.owner = &owner;
  task.first = draft.first();
  task.attempts = 0;
  task.kept = draft.take_kept();
}

/// The first that came back, or as many of its items as the worker may still run.
void scheduler::write_parked(seat& s, lane_slot& slot, given_task& task) {
  parked_task& parked = parked_.front();
  slot.function = parked.function;
  slot.size = parked.size;
  slot.block = parked.block;
  slot.first = parked.first;
  slot.last = parked.last;
  if (parked.block == 0) std::memcpy(slot.request, parked.request, parked.size);
  if (settings_.max_tasks != 0 && s.quota < slot.last - slot.first) {
    slot.last = slot.first + static_cast<std::uint32_t>(s.quota);
    parked.first = slot.last;
    task = parked.task;
    return;
  }
  task = std::move(parked.task);
  parked_.pop_front();
  --task.owner->in_flight;  // where it is about to be counted again
}

/// What lies in a slot that is the parent's again, without its record.
scheduler::parked_task scheduler::unpack(seat& s, std::uint32_t number) {
  const lane_slot& slot = s.lane->slot(number);
  parked_task parked;
  parked.function = slot.function;
  parked.size = slot.size;
  parked.block = slot.block;
  parked.first = slot.first;
  parked.last = slot.last;
  if (slot.block == 0) std::memcpy(parked.request, slot.request, slot.size);
  return parked;
}

/// The last `back` tasks of a lane, which are the parent's again.
void scheduler::park_taken_back(seat& s, std::uint32_t back) {
  const std::uint32_t had = s.load();
  for (std::uint32_t k = 0; k < back; ++k) {
    const std::uint32_t number = --s.given;
    parked_.push_front(unpack(s, number));
    parked_.front().task = std::move(s.tasks[number % lane_slots]);
    s.timed -= s.lane->slot(number).timed;
    s.quota += parked_.front().last - parked_.front().first;
  }
  queued_in_lanes_ -= std::max(had, 1u) - std::max(s.load(), 1u);
  counts_.tasks_stolen += back;
  if (s.load() == 0 && s.retiring) s.lane->close();
}

/// For each idle seat: half of what the fullest lane holds and has not begun.
void scheduler::steal() {
  for (std::size_t i = 0; i < roomy_.size() && queued_in_lanes_ != 0; ++i) {
    seat& idle = seats_[roomy_[i]];
    if (!idle.ready || idle.retiring || idle.load() != 0) continue;
    seat* fullest = nullptr;
    for (seat& s : seats_) {
      if (s.lane != nullptr && s.load() > 1 && (fullest == nullptr || s.load() > fullest->load()))
        fullest = &s;
    }
    if (fullest == nullptr) return;
    const std::uint32_t unclaimed = fullest->given - fullest->lane->claimed();
    const std::uint32_t back = fullest->lane->take_back((unclaimed + 1) / 2);
    if (back == 0) return;  // all begun: their results are about to come
    park_taken_back(*fullest, back);
    list(*fullest);
    give(idle, back);
  }
}

}  // namespace brood::detail
