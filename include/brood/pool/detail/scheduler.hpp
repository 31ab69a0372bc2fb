// scheduler: a pool without types. It owns the workers, fills their lanes from the jobs and takes the results
// out.
//
// Who gets what: a seat is a worker's place, with a lane for each worker that sits there one after the other.
// Idle seats get a task first, one each; then every seat is filled up to its depth, which doubles when a lane
// was found empty soon after it was filled, and halves when it was not: long tasks are hardly queued, short
// ones by the hundred. What is left in lanes when a seat has nothing to do is taken back, if it was not
// begun, and given to it. Jobs take turns.
//
// A worker's life (one coroutine for each seat, `keep_worker`):
//   starting --its `ready`--> ready --told to close, or killed, or by itself--> ended --> starting again, if
//   it is wanted
// When it has ended, and the family's memory was cleaned up after it: its published results are delivered,
// the item it was at is lost or tried again, all else is given to others.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "brood/coroutine/executor.hpp"
#include "brood/export.hpp"
#include "brood/pool/detail/job.hpp"
#include "brood/pool/detail/worker.hpp"
#include "brood/pool/statistics.hpp"
#include "brood/process/launch.hpp"
#include "brood/process/process.hpp"

namespace brood::detail {

struct pool_settings {
  std::uint32_t workers = 1;
  std::uint32_t fewest = 0;                  // kept although idle
  std::uint64_t max_tasks = 0;               // items a worker may run; 0: any number
  std::chrono::nanoseconds idle_timeout{0};  // 0: none
  launch_plan plan;  // of every worker
  initializer_call initializer;
  std::vector<held_reference> initializer_objects;
};

class BROOD_API scheduler : public std::enable_shared_from_this<scheduler> {
 public:
  explicit scheduler(pool_settings settings);
  ~scheduler();

  /// Starts the first workers and waits until they are ready. Throws why one could not start; none is left
  /// then.
  task<> open();
  /// Throws `closed`, or why the pool has no workers any more.
  void add(const std::shared_ptr<job>& made);
  /// A job may produce again.
  void more(job& which);
  /// Gives a job up: what has not begun never does. `kill`: what runs is asked to end, and its workers are killed if it does
  /// not in time.
  void cancel(job& which, bool kill);

  /// No more jobs; waits until those there are have ended, and then their workers.
  task<> close();
  /// Ends everything now; waits for nothing.
  void terminate() noexcept;
  /// Waits until no worker is left. After `close` or `terminate`.
  task<> join();

  pool_statistics statistics() const;
  std::uint64_t jobs_left() const noexcept;
  std::uint32_t workers() const noexcept { return static_cast<std::uint32_t>(seats_.size()); }
  bool is_closed() const noexcept { return closed_; }
  std::vector<int> pids() const;
  /// Throws `std::logic_error` on any other thread than the loop's.
  void require_own_thread() const;

 private:
  /// So long a worker may take to begin what it was given.
  static constexpr auto patience = std::chrono::milliseconds(20);

  struct given_task {
    job* owner = nullptr;
    std::uint64_t first = 0;
    std::uint32_t attempts = 0;
    std::shared_ptr<kept_request> kept;
  };
  /// Out of a lane, to be given again.
  struct parked_task {
    given_task task;
    function_token function;
    std::uint64_t size;
    reference block;
    std::uint32_t first, last;
    std::byte request[inline_request];
  };
  enum class verdict { none, cancelled, deadline };
  struct seat {
    std::uint32_t index = 0;
    bool occupied = false;  // its coroutine runs
    bool ready = false;
    bool retiring = false;  // gets nothing more
    bool listed = false;    // in `roomy_`
    std::string name;
    std::optional<process<void>> child;
    std::shared_ptr<detail::lane> lane;
    std::vector<given_task> tasks;
    std::uint32_t given = 0;  // as in the lane
    std::uint32_t taken = 0;  // results
    std::uint64_t quota = 0;  // items it may still be given
    std::uint32_t depth = 0;
    std::uint32_t timed = 0;               // tasks with a deadline in the lane
    std::chrono::nanoseconds shortest{0};  // deadline of those
    clock::time_point filled{};
    clock::time_point idle_since{};
    verdict judged = verdict::none;
    std::uint64_t asked = 0;  // what runs and is to end until then
    clock::time_point kill_at{};
    std::uint32_t load() const noexcept { return given - taken; }
  };
  struct tick : timer_node {
    scheduler* owner = nullptr;
  };
  struct refill : ready_node {
    scheduler* owner = nullptr;
  };

  // Jobs.
  void guarded(void (scheduler::*step)()) noexcept;
  void refill_soon() noexcept;
  bool anything_to_give() noexcept;
  void settle(job& which) noexcept;
  void forget(job& which) noexcept;
  void task_over(given_task& task) noexcept;
  void fail_all(const std::exception_ptr& why) noexcept;

  // Lanes.
  static task<> dispatch(std::shared_ptr<scheduler> self);
  void harvest_all();
  void harvest(seat& s);
  void deliver(seat& s, lane_slot& slot, given_task& task);
  void fill();
  void list(seat& s);
  void fill_idle();
  void fill_deep();
  void give(seat& s, std::uint32_t most);
  bool write_next(seat& s, lane_slot& slot, given_task& task);
  void write_parked(seat& s, lane_slot& slot, given_task& task);
  void write_new(seat& s, lane_slot& slot, given_task& task);
  void note_deadline(seat& s, const job& which);
  void steal();
  void park_taken_back(seat& s, std::uint32_t back);
  parked_task unpack(seat& s, std::uint32_t number);

  // Workers.
  bool wants_worker() noexcept;
  void start_workers(std::uint32_t wanted);
  static task<> keep_worker(std::shared_ptr<scheduler> self, seat& s);
  task<> run_worker(seat& s);
  void sit_down(seat& s);
  void worker_ready(seat& s);
  void worker_ended(seat& s, const exit_status& status);
  void salvage(seat& s, std::uint32_t number, const exit_status& status);
  enum class start_failure { refused, died, threw };
  void start_failed(std::exception_ptr why, start_failure how);
  void give_up(std::exception_ptr why) noexcept;
  void leave(seat& s) noexcept;
  void close_idle_lanes();

  // Time.
  void check_at(clock::time_point when);
  void check_times();
  clock::time_point check_deadline(seat& s, clock::time_point now);
  bool ask(seat& s, std::uint64_t name);
  void end_within(seat& s, std::uint64_t name, std::chrono::nanoseconds limit);
  clock::time_point check_asked(seat& s, clock::time_point now);
  clock::time_point check_stall(seat& s, clock::time_point now);

  arena& memory_;
  executor& loop_;
  const std::thread::id thread_ = std::this_thread::get_id();
  pool_settings settings_;
  std::string name_;
  std::shared_ptr<hub> hub_;
  std::vector<seat> seats_;
  std::vector<std::uint32_t> roomy_;  // seats that may take more
  std::uint32_t occupied_ = 0;
  std::uint32_t ready_ = 0;
  std::uint64_t queued_in_lanes_ = 0;  // beyond the first of each lane

  std::vector<std::shared_ptr<job>> jobs_;
  std::deque<job*> active_;  // that may have more
  std::deque<parked_task> parked_;

  tick tick_;
  refill refill_;
  local_event changed_;     // something that open, close or join waits for
  int start_failures_ = 0;  // in a row
  clock::time_point last_failure_{};
  bool opening_ = false;
  bool closed_ = false;        // no more jobs
  bool ended_ = false;         // no more workers
  std::exception_ptr broken_;  // why there are none
  pool_statistics counts_;
};

}  // namespace brood::detail
