// Jobs: how they come, end and are given up; and the pool's own end.
#include "brood/pool/detail/scheduler.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "brood/arena/family_memory.hpp"
#include "brood/runtime/runtime.hpp"
#include "runtime/log.hpp"

namespace brood::detail {
namespace {

std::uint64_t pools_made = 0;

}  // namespace

scheduler::scheduler(pool_settings settings)
    : memory_(family_memory::get()),
      loop_(executor::current()),
      settings_(std::move(settings)),
      name_(fmt::format("pool-{}", ++pools_made)),
      hub_(hub::create(memory_, settings_.workers)),
      seats_(settings_.workers) {
  for (std::uint32_t i = 0; i < settings_.workers; ++i) {
    seats_[i].index = i;
    seats_[i].name = fmt::format("{}-worker-{}", name_, i + 1);
  }
  tick_.owner = this;
  tick_.run = [](ready_node& node) noexcept {
    static_cast<tick&>(static_cast<timer_node&>(node)).owner->guarded(&scheduler::check_times);
  };
  refill_.owner = this;
  refill_.run = [](ready_node& node) noexcept {
    auto& self = static_cast<refill&>(node);
    self.owner->guarded(&scheduler::fill);
  };
}

scheduler::~scheduler() {
  // The loop may be gone; then they are not in its lists.
  if (tick_.heap_index != timer_node::idle || tick_.previous != nullptr) loop_.stop_timer(tick_);
  if (refill_.previous != nullptr) loop_.withdraw(refill_);
}

/// For what the loop calls: want of memory ends the pool, with everybody told, and not the process.
void scheduler::guarded(void (scheduler::*step)()) noexcept {
  const std::shared_ptr<scheduler> kept = shared_from_this();
  try {
    (this->*step)();
  } catch (...) {
    give_up(std::current_exception());
  }
}

void scheduler::refill_soon() noexcept {
  if (refill_.previous == nullptr) loop_.post(refill_);
}

// ---- jobs ----

void scheduler::require_own_thread() const {
  if (std::this_thread::get_id() == thread_) return;
  throw std::logic_error("brood: a pool is used on the thread of the loop that it was opened on");
}

void scheduler::add(const std::shared_ptr<job>& made) {
  require_own_thread();
  if (broken_) std::rethrow_exception(broken_);
  if (closed_) throw closed("the pool is closed");
  made->place = jobs_.size();
  jobs_.push_back(made);
  more(*made);
}

void scheduler::more(job& which) {
  if (which.place == SIZE_MAX) return;
  if (!which.queued && which.has_more() && !which.is_over()) {
    which.queued = true;
    active_.push_back(&which);
  }
  refill_soon();
  settle(which);
}

/// Drops the jobs at the front that have nothing to give; whether anything is left.
bool scheduler::anything_to_give() noexcept {
  while (!parked_.empty() && parked_.front().task.owner->is_over()) {
    task_over(parked_.front().task);
    parked_.pop_front();
  }
  while (!active_.empty() && (active_.front()->is_over() || !active_.front()->has_more())) {
    job& done = *active_.front();
    active_.pop_front();
    done.queued = false;
    settle(done);
  }
  return !parked_.empty() || !active_.empty();
}

/// Forgets a job of which nothing can come any more.
void scheduler::settle(job& which) noexcept {
  if (which.in_flight != 0 || which.queued || which.place == SIZE_MAX) return;
  if (which.is_over() || !which.expects_more()) forget(which);
}

void scheduler::forget(job& which) noexcept {
  const std::shared_ptr<job> last = std::move(jobs_.back());
  jobs_.pop_back();
  if (last.get() != &which) {
    const std::size_t place = which.place;
    which.place = SIZE_MAX;
    last->place = place;
    jobs_[place] = last;
  } else {
    last->place = SIZE_MAX;
  }
  if (closed_ && jobs_.empty()) {
    close_idle_lanes();
    changed_.notify_all();
  }
}

void scheduler::task_over(given_task& task) noexcept {
  job& owner = *std::exchange(task.owner, nullptr);
  task.kept.reset();
  --owner.in_flight;
  settle(owner);
}

void scheduler::cancel(job& which, bool kill) {
  if (loop_.is_inherited()) return;
  which.abandon();
  if (which.place == SIZE_MAX) return;
  std::erase_if(parked_, [&](parked_task& parked) {
    if (parked.task.owner != &which) return false;
    --which.in_flight;
    return true;
  });
  if (which.in_flight != 0) {
    for (seat& s : seats_) {
      if (s.lane == nullptr) continue;
      const std::uint32_t running = s.lane->published();
      for (std::uint32_t number = s.taken; number != s.given; ++number) {
        if (s.tasks[number % lane_slots].owner != &which) continue;
        // Before the look at what runs: the worker names what it begins, and then looks at this.
        s.lane->slot(number).abandoned.store(1, std::memory_order_seq_cst);
        if (!kill || number != running || s.lane->claimed() == number || !s.child) continue;
        const std::uint64_t name = s.lane->running();
        if (s.lane->published() != number) continue;
        // What runs of a map or a stream is one item of many: its worker is replaced at once.
        const bool single = which.settings().chunk == 0;
        end_within(s, name, single ? which.settings().stop_limit : std::chrono::nanoseconds(0));
      }
    }
  }
  if (std::erase(active_, &which) != 0) which.queued = false;
  settle(which);
}

void scheduler::fail_all(const std::exception_ptr& why) noexcept {
  active_.clear();
  const auto parked = std::exchange(parked_, {});
  for (const parked_task& each : parked) --each.task.owner->in_flight;
  const auto all = jobs_;
  for (const auto& each : all) {
    each->queued = false;
    each->fail(why);
    settle(*each);
  }
}

// ---- the end ----

task<> scheduler::close() {
  require_own_thread();
  closed_ = true;
  if (jobs_.empty()) close_idle_lanes();
  co_await join();
}

task<> scheduler::join() {
  require_own_thread();
  const std::shared_ptr<scheduler> kept = shared_from_this();
  while (occupied_ != 0 || !jobs_.empty()) co_await changed_.wait();
  if (closed_ && !ended_) {
    ended_ = true;
    hub_->notify(0);
  }
}

void scheduler::terminate() noexcept {
  if (loop_.is_inherited()) return;
  if (std::this_thread::get_id() != thread_) {
    return log_error(
        "{} was ended on another thread than its loop's: its workers go on until this process ends", name_);
  }
  closed_ = true;
  if (std::exchange(ended_, true)) return;
  fail_all(std::make_exception_ptr(closed("the pool was terminated")));
  for (seat& s : seats_) {
    if (s.child) detail::kill_or_give_up(*s.child);
  }
  if (family_memory::exists()) hub_->notify(0);
  changed_.notify_all();
}

/// What is broken has no workers and gets none.
void scheduler::give_up(std::exception_ptr why) noexcept {
  if (!broken_) broken_ = std::move(why);
  closed_ = ended_ = true;
  fail_all(broken_);
  for (seat& s : seats_) {
    if (s.child) detail::kill_or_give_up(*s.child);
  }
  hub_->notify(0);
  changed_.notify_all();
}

/// One that was given up stays among the jobs until no worker runs anything of it.
std::uint64_t scheduler::jobs_left() const noexcept {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(jobs_, [](const auto& each) { return !each->is_over(); }));
}

pool_statistics scheduler::statistics() const {
  require_own_thread();
  pool_statistics result = counts_;
  result.workers = ready_;
  result.jobs = jobs_left();
  for (const seat& s : seats_) result.busy += s.ready && s.load() != 0 ? 1 : 0;
  return result;
}

std::vector<int> scheduler::pids() const {
  std::vector<int> result;
  for (const seat& s : seats_) {
    if (s.ready && s.child) result.push_back(s.child->pid());
  }
  return result;
}

}  // namespace brood::detail
