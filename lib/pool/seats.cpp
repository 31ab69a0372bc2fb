// Workers: how they start, end, and what becomes of what they had; and what happens by the clock.
#include <algorithm>

#include <fmt/format.h>

#include <utility>

#include "brood/pool/detail/scheduler.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/runtime.hpp"

namespace brood::detail {
namespace {

/// Workers in a row that may end before they are ready.
constexpr int most_start_failures = 5;
/// Then, as long as there are others, nobody is started for so long.
constexpr auto pause_after_failures = std::chrono::seconds(1);

}  // namespace

// ---- starting ----

task<> scheduler::open() {
  const std::shared_ptr<scheduler> self = shared_from_this();
  ensure_wake_port();  // here, where its want of descriptors can be told
  runtime::current().start(dispatch(self));
  opening_ = true;
  start_workers(settings_.fewest);
  bool given_up = false;
  try {
    while (ready_ < settings_.fewest && !broken_) co_await changed_.wait();
  } catch (const cancelled&) {
    given_up = true;
  }
  opening_ = false;
  if (given_up) terminate();
  if (!given_up && !broken_) co_return;
  task_scope uncancelled;
  auto end = join();
  end.set_scope(uncancelled);
  co_await std::move(end);
  if (given_up) throw cancelled();
  std::rethrow_exception(broken_);
}

void scheduler::start_workers(std::uint32_t wanted) {
  if (start_failures_ >= most_start_failures && occupied_ != 0 &&
      clock::now() - last_failure_ < pause_after_failures) {
    return check_at(last_failure_ + pause_after_failures);
  }
  for (seat& s : seats_) {
    if (wanted == 0) return;
    if (s.occupied) {
      if (!s.ready) --wanted;  // on its way
      continue;
    }
    s.occupied = true;
    ++occupied_;
    --wanted;
    runtime::current().start(keep_worker(shared_from_this(), s));
  }
}

/// Whether a seat whose worker has ended gets another.
bool scheduler::wants_worker() noexcept {
  if (ended_ || (closed_ && jobs_.empty())) return false;
  if (start_failures_ >= most_start_failures) return false;  // `fill` tries again after a while
  return occupied_ <= settings_.fewest || anything_to_give();
}

task<> scheduler::keep_worker(std::shared_ptr<scheduler> self, seat& s) {
  try {
    do {
      co_await self->run_worker(s);
    } while (self->wants_worker());
  } catch (const cancelled&) {  // the loop is ending
    self->give_up(std::make_exception_ptr(cancelled()));
  } catch (...) {
    self->give_up(std::current_exception());
  }
  self->leave(s);
}

/// The seat is empty.
void scheduler::leave(seat& s) noexcept {
  s.occupied = false;
  --occupied_;
  if (occupied_ == 0 && ended_) {
    loop_.stop_timer(tick_);
    loop_.withdraw(refill_);
    hub_->notify(0);  // the dispatcher ends too
  }
  changed_.notify_all();
}

/// Everything about a seat that belongs to one worker.
void scheduler::sit_down(seat& s) {
  s.lane = lane::create(memory_);
  s.tasks.resize(lane_slots);
  s.ready = s.retiring = false;
  s.given = s.taken = 0;
  s.timed = 0;
  s.depth = 2;
  s.quota = settings_.max_tasks;
  s.judged = verdict::none;
  s.asked = 0;
  if (closed_ && jobs_.empty()) s.lane->close();
}

task<> scheduler::run_worker(seat& s) {
  std::exception_ptr refused;
  try {
    sit_down(s);
    const pool_handle<lane> lane(s.lane);
    const pool_handle<hub> hub(hub_);
    auto call = make_call<pool_worker>(lane, hub, s.index, settings_.initializer);
    launch_plan plan = settings_.plan;
    plan.name = s.name;
    plan.daemon = true;
    auto starting = launch_function(std::move(plan), std::move(call));
    ++counts_.workers_started;
    s.child.emplace(co_await std::move(starting));
  } catch (const cancelled&) {
    s.lane.reset();
    throw;
  } catch (...) {
    refused = std::current_exception();
  }
  if (refused) {
    s.lane.reset();
    start_failed(std::move(refused), start_failure::refused);
    co_return;
  }
  if (ended_) detail::kill_or_give_up(*s.child);
  harvest(s);  // it may have been ready before we knew its pid, without which nobody could end it
  refill_soon();
  bool stopped = false;
  exit_status status;
  try {
    status = co_await s.child->join();
  } catch (const cancelled&) {
    stopped = true;
  }
  if (stopped) {
    detail::kill_or_give_up(*s.child);
    task_scope uncancelled;
    auto end = s.child->join();
    end.set_scope(uncancelled);
    status = co_await std::move(end);
  }
  std::exception_ptr why = std::make_exception_ptr(child_died(s.name, s.child->pid(), status));
  if (!s.ready && !s.lane->is_ready() && !stopped) {
    start_failure how = start_failure::died;
    try {
      co_await s.child->result();
    } catch (const remote_error&) {
      why = std::current_exception();
      how = start_failure::threw;
    } catch (...) {
      why = std::current_exception();
    }
    worker_ended(s, status);
    if (!ended_) start_failed(std::move(why), how);
    co_return;
  }
  worker_ended(s, status);
  if (stopped) throw cancelled();
}

void scheduler::worker_ready(seat& s) {
  s.ready = true;
  ++ready_;
  start_failures_ = 0;
  s.idle_since = clock::now();
  if (settings_.idle_timeout.count() > 0) check_at(time_after(s.idle_since, settings_.idle_timeout));
  list(s);
  changed_.notify_all();
}

/// `refused`: there was no child; `threw`: its initializer did, and would again.
void scheduler::start_failed(std::exception_ptr why, start_failure how) {
  ++start_failures_;
  last_failure_ = clock::now();
  if (how == start_failure::threw && (opening_ || ready_ == 0)) return give_up(std::move(why));
  if (start_failures_ < most_start_failures || (ready_ != 0 && !opening_)) return;
  if (how == start_failure::refused) {
    // Those who wait are told. The next job tries again: there may be descriptors or memory by then.
    return opening_ ? give_up(std::move(why)) : fail_all(why);
  }
  try {
    std::rethrow_exception(why);
  } catch (const std::exception& e) {
    give_up(std::make_exception_ptr(
        error("brood::pool: " + std::to_string(start_failures_) +
              " workers in a row ended before they were ready; the last one: " + e.what())));
  }
}

// ---- ending ----

void scheduler::close_idle_lanes() {
  for (seat& s : seats_) {
    s.retiring = true;
    if (s.lane != nullptr) s.lane->close();
  }
}

/// The child is reaped and the family's memory is in order.
void scheduler::worker_ended(seat& s, const exit_status& status) {
  harvest(s);
  const bool told = s.lane->is_closing() && status.success();
  if (!told && s.judged != verdict::cancelled) ++counts_.workers_died;
  if (s.ready) --ready_;
  s.ready = false;
  queued_in_lanes_ -= std::max(s.load(), 1u) - 1;
  if (s.load() != 0) {
    exit_status seen = status;
    seen.deadline_passed = s.judged == verdict::deadline;
    if (seen.deadline_passed) seen.why = death_cause::deadline;
    const std::uint32_t claimed = s.lane->claimed();
    for (std::uint32_t number = s.given; number != claimed;) {
      given_task& task = s.tasks[--number % lane_slots];
      if (task.owner->is_over()) {
        task_over(task);
      } else {
        parked_.push_front(unpack(s, number));
        parked_.front().task = std::move(task);
      }
    }
    if (claimed != s.taken) salvage(s, s.taken, seen);
  }
  s.given = s.taken = 0;
  s.child.reset();
  s.lane.reset();
  refill_soon();
}

/// The task its worker died in: the results it has count, the item it was at is lost or tried again, the
/// others are given to somebody else.
void scheduler::salvage(seat& s, std::uint32_t number, const exit_status& status) {
  lane_slot& slot = s.lane->slot(number);
  given_task task = std::move(s.tasks[number % lane_slots]);
  ++s.taken;
  job& owner = *task.owner;
  if (!owner.is_over()) {
    const auto park = [&](std::uint32_t first, std::uint32_t last, std::uint32_t attempts) {
      parked_task rest = unpack(s, number);
      rest.first = first;
      rest.last = last;
      rest.task = given_task{&owner, task.first, attempts, task.kept};
      ++owner.in_flight;
      parked_.push_front(std::move(rest));
    };
    try {
      result_reader results(memory_, slot, s.name, s.child ? s.child->pid() : 0);
      const std::uint32_t at = slot.first + results.done();
      const bool between = slot.ending.load(std::memory_order_acquire) != 0;  // it had left the task already
      owner.deliver(task.first + slot.first, results);
      if (at < slot.last && !owner.is_over()) {
        counts_.tasks_lost += between ? 0 : 1;
        const std::uint32_t after = between ? at : at + 1;
        if (after < slot.last) park(after, slot.last, task.attempts);
        if (!between && task.attempts < owner.settings().retries) {
          ++counts_.items_retried;
          park(at, at + 1, task.attempts + 1);
        } else if (!between) {
          const std::uint64_t item = task.first + at;
          detail::death_details details;
          details.doing = fmt::format("item {} of {}", item, owner.settings().name);
          details.crash = crash_of(*s.child);
          owner.lose(item,
                     std::make_exception_ptr(child_died(s.name, s.child->pid(), status, std::move(details))));
        }
      }
    } catch (...) {
      owner.fail(std::current_exception());
    }
    if (owner.is_over() && owner.in_flight > 1) cancel(owner, false);
  }
  s.lane->free_result(slot);
  task_over(task);
}

// ---- time ----

void scheduler::check_at(clock::time_point when) {
  if (tick_.heap_index != timer_node::idle) {
    if (tick_.due <= when) return;
    loop_.stop_timer(tick_);
  } else if (tick_.previous != nullptr) {
    return;  // about to run
  }
  tick_.due = when;
  loop_.start_timer(tick_);
}

void scheduler::note_deadline(seat& s, const job& which) {
  const auto deadline = which.settings().shortest();
  s.shortest = s.timed++ == 0 ? deadline : std::min(s.shortest, deadline);
  check_at(time_after(deadline));
}

void scheduler::check_times() {
  const auto now = clock::now();
  auto next = clock::time_point::max();
  const auto alive_now =
      std::count_if(seats_.begin(), seats_.end(), [](const seat& s) { return s.ready && !s.retiring; });
  auto alive = static_cast<std::uint32_t>(alive_now);
  for (seat& s : seats_) {
    if (!s.ready || s.lane == nullptr) continue;
    if (s.asked != 0) next = std::min(next, check_asked(s, now));
    if (s.timed != 0) next = std::min(next, check_deadline(s, now));
    if (s.load() != 0) next = std::min(next, check_stall(s, now));
    if (settings_.idle_timeout.count() == 0 || s.load() != 0 || s.retiring || alive <= settings_.fewest)
      continue;
    const auto due = time_after(s.idle_since, settings_.idle_timeout);
    if (due <= now) {
      s.retiring = true;
      s.lane->close();
      --alive;
    } else {
      next = std::min(next, due);
    }
  }
  if (next != clock::time_point::max()) check_at(next);
  if (anything_to_give()) refill_soon();  // what refused a worker may have passed
}

/// A worker that has not begun anything for long is stopped, or has no processor: what it has goes to others,
/// and it is the last to get something again. Gives when to look again.
clock::time_point scheduler::check_stall(seat& s, clock::time_point now) {
  if (now - s.filled < patience || s.lane->claimed() != s.taken) return now + patience;
  const std::uint32_t back = s.lane->take_back(lane_slots);
  if (back == 0) return now + patience;
  park_taken_back(s, back);
  std::erase(roomy_, s.index);
  s.listed = false;
  list(s);
  std::rotate(roomy_.begin(), roomy_.end() - (s.listed ? 1 : 0), roomy_.end());
  refill_soon();
  return now + patience;
}

/// Asks what runs there to end. False if it has.
bool scheduler::ask(seat& s, std::uint64_t name) {
  if ((name & asked_to_end) != 0) return true;
  if (!s.lane->ask(name)) return false;
  detail::ask_task(*s.child);
  return true;
}

/// The same, and its worker is killed if that has not ended when `limit` has passed.
void scheduler::end_within(seat& s, std::uint64_t name, std::chrono::nanoseconds limit) {
  s.asked = name | asked_to_end;
  if (limit.count() <= 0) {
    s.asked = name;
  } else if (!ask(s, name)) {
    s.asked = 0;
    return;
  }
  s.kill_at = time_after(limit);
  check_asked(s, clock::now());
  if (s.asked == 0) return;
  try {
    check_at(s.kill_at);
  } catch (...) {  // no memory for the timer: it cannot be waited for
    s.kill_at = clock::time_point::min();
    check_asked(s, clock::now());
  }
}

/// Gives when to look again.
clock::time_point scheduler::check_asked(seat& s, clock::time_point now) {
  if (s.lane->running() != s.asked) s.asked = 0;
  if (s.asked == 0) return clock::time_point::max();
  if (s.kill_at > now) return s.kill_at;
  if (s.lane->condemn(std::exchange(s.asked, 0))) {
    s.judged = verdict::cancelled;
    detail::kill_or_give_up(*s.child);
  }
  return clock::time_point::max();
}

/// Ends what runs too long there; gives when to look again.
clock::time_point scheduler::check_deadline(seat& s, clock::time_point now) {
  const auto later = time_after(now, s.shortest);
  const std::uint32_t number = s.lane->published();
  if (number == s.given || s.lane->claimed() == number) return later;
  const std::uint64_t name = s.lane->running();
  if ((name & named_by_time) == 0 || s.lane->published() != number) return later;
  // Read in this order, the name is that of an item of this task, and `tasks` holds its record.
  const job& owner = *s.tasks[number % lane_slots].owner;
  const auto begun = clock::time_point(
      std::chrono::nanoseconds(static_cast<std::int64_t>(name & ~(named_by_time | asked_to_end))));
  const auto after = [begun](std::chrono::nanoseconds limit) {
    return limit.count() > 0 ? time_after(begun, limit) : clock::time_point::max();
  };
  const auto due = after(owner.settings().deadline);
  const auto soft = after(owner.settings().soft_deadline);
  if (due > now && soft > now) return std::min({due, soft, later});
  if (due > now) {
    ask(s, name);
    return std::min(due, later);
  }
  if (!s.lane->condemn(name)) return later;
  s.judged = verdict::deadline;
  ++counts_.deadlines_passed;
  detail::kill_or_give_up(*s.child);
  return later;
}

}  // namespace brood::detail
