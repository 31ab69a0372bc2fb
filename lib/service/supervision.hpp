// The decisions of a supervisor, without processes, clock or loop: events and the time go in, actions come out.
//
// A service has up to three kinds of instances: `current`, `next` while it reloads, and `leaving` ones that a reload has
// replaced. An instance:
//
//   starting --ready--> ready --asked to stop--> stopping --ended--> gone
//       \------asked to stop, or it never gets ready------/^    (it may end by itself from everywhere)
//
// A service:
//
//   waiting --its turn, its back-off is over--> starting --ready--> ready
//      ^ \--stop--> stopped                         |  |               |
//      |                                            |  \--- died -----/+--> ended    (does not restart)
//      +------------- died, restarts ---------------+------------------+
//      +------ stopping <-- stopped for a restart of its group --------+
//
// `blockers_` are those that later services wait for. Ordered stops, of a group that restarts and of everything at the
// end, are done one service at a time, the last one first.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "brood/coroutine/executor.hpp"
#include "brood/service/policy.hpp"

namespace brood::detail {

using service_id = std::uint64_t;   // in the order in which they start
using instance_id = std::uint64_t;  // never used twice

struct supervision_action {
  enum class kind : std::uint8_t {
    start,     // make this instance
    ask,       // this instance is to stop
    kill,      // it did not within its time, or it hangs
    is_ready,  // this instance; it has replaced the old one if the service reloads
    changed,   // the service's state
    removed,   // the service is forgotten
    gave_up,   // the service's end was one too many; all are stopped
    finished,  // nothing runs, and nothing will
  } what;
  service_id service = 0;
  instance_id instance = 0;
  service_state state = service_state::waiting;  // changed: to this
};

class supervision {
 public:
  using time = clock::time_point;
  using action = supervision_action;

  supervision(strategy how, restart_intensity limit, std::uint64_t seed);

  service_id add(const service_rules& rules, time now);
  /// Each of these does nothing to a service that is not there any more.
  void stop(service_id id, time now);
  /// Stops it as `stop` does, then forgets it.
  void remove(service_id id, time now);
  /// As the strategy says, but without a pause, and not counted. Starts what has ended or was stopped.
  void restart(service_id id, time now);
  /// Gives the new instance, or 0 if the service is not ready or reloads already.
  instance_id reload(service_id id, time now);
  /// Stops everything; nothing starts any more.
  void shut_down(time now);

  void ready(instance_id id, time now);
  void alive(instance_id id, time now);
  /// It needs so much longer for what it is at.
  void extend(instance_id id, std::chrono::nanoseconds by, time now);
  /// It says that it is about to end: no watchdog any more, but a limit.
  void leaves(instance_id id, time now);
  void ended(instance_id id, bool success, time now);

  void on_time(time now);
  /// When to call `on_time`; `time::max()` for never.
  time next() const noexcept { return deadlines_.empty() ? time::max() : deadlines_.begin()->first; }

  std::vector<action> take_actions() { return std::exchange(actions_, {}); }
  service_state state(service_id id) const { return services_.at(id).state; }

 private:
  enum class phase : std::uint8_t { starting, ready, stopping };
  struct instance {
    service_id service = 0;
    phase at = phase::starting;
    bool overdue = false;  // was killed for a deadline: its end is a failure
    time due = time::max();
  };
  struct service {
    service_rules rules;
    service_state state = service_state::waiting;
    instance_id current = 0;
    instance_id next = 0;
    std::vector<instance_id> leaving;
    bool wanted = true;                    // is to run
    bool placed = false;                   // has had its turn among those that are started in order
    bool doomed = false;                   // is forgotten when it is gone
    time due = time::max();                // the end of its back-off
    std::deque<clock::duration> restarts;  // not forgotten yet, as readings of how long it has been ready
    clock::duration ready_for{};           // in all, but for the present stretch
    time ready_since{};

    bool gone() const noexcept { return current == 0 && next == 0 && leaving.empty(); }
  };
  using entry = std::pair<service_id, service&>;

  void died(entry it, bool success, time now);
  bool is_one_too_many(entry it, time now);
  void forget_old(service& s, time now) const;
  std::size_t remembered(time now);
  clock::duration pause_after(const service& s);
  void restart_with_group(service_id id);
  bool restarts_with(service_id other, service_id id) const noexcept;

  void make(entry it, instance_id& place, time now);
  void ask(instance_id id, time now);
  void ask_all(entry it, time now);
  void await_turn(entry it, time due, time now);
  void settle(entry it, service_state as);
  void set_state(entry it, service_state state);
  void note_blocking(entry it);
  void forget_if_doomed(service_id id);
  void pump(time now);
  void stop_in_order(time now);
  void start_in_order(time now);
  bool may_start(const entry& it) const;

  void set_due(instance_id id, instance& which, std::chrono::nanoseconds limit, time now);
  void set_due(entry it, time due);

  strategy how_;
  restart_intensity limit_;
  std::minstd_rand chance_;
  std::map<service_id, service> services_;
  std::map<instance_id, instance> instances_;
  std::uint64_t last_id_ = 0;
  std::set<std::pair<time, std::uint64_t>> deadlines_;  // of services and instances: they share their numbers
  std::set<service_id> turns_;                          // wait, and their back-off is over
  std::set<service_id> blockers_;
  std::set<service_id> to_stop_;   // in order
  service_id stopping_now_ = 0;    // of those
  std::set<service_id> troubled_;  // have restarts that are not forgotten
  std::vector<action> actions_;
  bool shutting_down_ = false;
  bool finished_ = false;
};

}  // namespace brood::detail
