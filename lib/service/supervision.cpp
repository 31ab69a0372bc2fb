#include "service/supervision.hpp"

#include <algorithm>
#include <cmath>

#include "brood/coroutine/detail/saturating_time.hpp"

namespace brood {

const char* name_of(service_state state) noexcept {
  switch (state) {
    case service_state::waiting:
      return "waiting";
    case service_state::starting:
      return "starting";
    case service_state::ready:
      return "ready";
    case service_state::stopping:
      return "stopping";
    case service_state::ended:
      return "ended";
    case service_state::stopped:
      return "stopped";
  }
  return "unknown";
}

namespace detail {
namespace {

using what = supervision_action::kind;

// Enough for the longest pause; a service may restart without a limit.
constexpr std::size_t most_remembered = 64;

}  // namespace

supervision::supervision(strategy how, restart_intensity limit, std::uint64_t seed)
    : how_(how), limit_(limit), chance_(static_cast<std::minstd_rand::result_type>(seed)) {}

// --- what the supervisor is asked for ---

service_id supervision::add(const service_rules& rules, time now) {
  const service_id id = ++last_id_;
  service& made = services_[id];
  made.rules = rules;
  if (shutting_down_) {
    settle({id, made}, service_state::stopped);
  } else {
    await_turn({id, made}, now, now);
  }
  pump(now);
  return id;
}

void supervision::stop(service_id id, time now) {
  const auto found = services_.find(id);
  if (found == services_.end()) return;
  const entry it{id, found->second};
  it.second.wanted = false;
  if (it.second.state == service_state::waiting) settle(it, service_state::stopped);
  if (it.second.current != 0) set_state(it, service_state::stopping);
  ask_all(it, now);
  note_blocking(it);
  pump(now);
}

void supervision::remove(service_id id, time now) {
  const auto found = services_.find(id);
  if (found == services_.end()) return;
  found->second.doomed = true;
  stop(id, now);
  forget_if_doomed(id);
}

void supervision::restart(service_id id, time now) {
  const auto found = services_.find(id);
  if (found == services_.end() || shutting_down_ || found->second.doomed) return;
  const entry it{id, found->second};
  it.second.wanted = true;
  it.second.placed = true;
  if (it.second.current == 0) {
    await_turn(it, now, now);
  } else if (how_ == strategy::one_for_one) {
    set_state(it, service_state::stopping);
    ask_all(it, now);
  } else {
    to_stop_.insert(id);
    restart_with_group(id);
  }
  note_blocking(it);
  pump(now);
}

instance_id supervision::reload(service_id id, time now) {
  const auto found = services_.find(id);
  if (found == services_.end()) return 0;
  const entry it{id, found->second};
  if (it.second.state != service_state::ready || it.second.next != 0 || to_stop_.contains(id)) return 0;
  make(it, it.second.next, now);
  return it.second.next;
}

void supervision::shut_down(time now) {
  shutting_down_ = true;
  for (auto& [id, each] : services_) {
    const entry it{id, each};
    each.wanted = false;
    if (each.state == service_state::waiting) settle(it, service_state::stopped);
    if (!each.gone()) to_stop_.insert(id);
  }
  pump(now);
}

// --- what the instances do ---

void supervision::ready(instance_id id, time now) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || found->second.at != phase::starting || found->second.overdue) return;
  instance& which = found->second;
  const entry it{which.service, services_.at(which.service)};
  service& s = it.second;
  which.at = phase::ready;
  set_due(id, which, s.rules.watchdog, now);
  if (id == s.next) {
    const instance_id old = std::exchange(s.current, std::exchange(s.next, 0));
    s.leaving.push_back(old);
    ask(old, now);
  } else {
    s.placed = true;
    s.ready_since = now;
    set_state(it, service_state::ready);
    note_blocking(it);
  }
  actions_.push_back({what::is_ready, it.first, id});
  pump(now);
}

void supervision::alive(instance_id id, time now) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || found->second.at != phase::ready) return;
  set_due(id, found->second, services_.at(found->second.service).rules.watchdog, now);
}

void supervision::extend(instance_id id, std::chrono::nanoseconds by, time now) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || found->second.due == time::max() || found->second.overdue) return;
  if (time_after(now, by) > found->second.due) set_due(id, found->second, by, now);
}

void supervision::leaves(instance_id id, time now) {
  const auto found = instances_.find(id);
  if (found == instances_.end() || found->second.at != phase::ready) return;
  set_due(id, found->second, services_.at(found->second.service).rules.stop_within, now);
}

void supervision::ended(instance_id id, bool success, time now) {
  const auto found = instances_.find(id);
  if (found == instances_.end()) return;
  const instance gone = found->second;
  deadlines_.erase({gone.due, id});
  instances_.erase(found);
  const entry it{gone.service, services_.at(gone.service)};
  service& s = it.second;
  if (std::erase(s.leaving, id) == 0) {
    if (id == s.next) {
      s.next = 0;
    } else {
      s.current = 0;
      if (gone.at == phase::ready) s.ready_for += now - s.ready_since;
      if (gone.at != phase::stopping) {
        died(it, success && !gone.overdue, now);
      } else if (s.wanted) {
        await_turn(it, now, now);
      }
    }
  }
  if (s.gone()) {
    to_stop_.erase(it.first);
    if (stopping_now_ == it.first) stopping_now_ = 0;
    if (!s.wanted && s.state != service_state::ended) settle(it, service_state::stopped);
  }
  note_blocking(it);
  const service_id which = it.first;
  pump(now);
  forget_if_doomed(which);
}

void supervision::on_time(time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const std::uint64_t id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (const auto waits = services_.find(id); waits != services_.end()) {
      waits->second.due = time::max();
      turns_.insert(id);
    } else {
      instance& late = instances_.at(id);
      late.due = time::max();
      late.overdue = true;
      actions_.push_back({what::kill, late.service, id});
    }
  }
  pump(now);
}

// --- deaths ---

/// Its current instance has ended by itself.
void supervision::died(entry it, bool success, time now) {
  service& s = it.second;
  const bool again = s.rules.restart == restart_when::always ||
                     (s.rules.restart == restart_when::on_failure && !success) || s.next != 0;
  if (!s.wanted || !again) return settle(it, service_state::ended);
  const bool replaced = s.next != 0;  // it was about to be replaced anyhow
  if (replaced) {
    s.current = std::exchange(s.next, 0);
    set_state(it, service_state::starting);
  }
  if (is_one_too_many(it, now)) {
    actions_.push_back({what::gave_up, it.first, 0});
    if (!replaced) settle(it, service_state::ended);
    return shut_down(now);
  }
  if (!replaced) await_turn(it, time_after(now, pause_after(s)), now);
  restart_with_group(it.first);
}

/// Counts a restart. Back-off and limit look at the same restarts, and those are forgotten by time in which the service
/// was ready only: so no pause is long enough to keep the limit from being reached.
bool supervision::is_one_too_many(entry it, time now) {
  service& s = it.second;
  forget_old(s, now);
  if (s.restarts.size() == most_remembered) s.restarts.pop_front();
  s.restarts.push_back(s.ready_for);
  troubled_.insert(it.first);
  return limit_.restarts < restart_intensity::unlimited && remembered(now) > limit_.restarts;
}

void supervision::forget_old(service& s, time now) const {
  const bool is_ready = s.current != 0 && s.state == service_state::ready;
  const clock::duration ready_for = s.ready_for + (is_ready ? now - s.ready_since : clock::duration());
  while (!s.restarts.empty() && ready_for - s.restarts.front() >= limit_.within) s.restarts.pop_front();
}

/// At most as many services as the limit allows restarts are looked at.
std::size_t supervision::remembered(time now) {
  std::size_t count = 0;
  for (auto next = troubled_.begin(); next != troubled_.end();) {
    const auto each = next++;
    service& s = services_.at(*each);
    forget_old(s, now);
    count += s.restarts.size();
    if (s.restarts.empty()) troubled_.erase(each);
  }
  return count;
}

clock::duration supervision::pause_after(const service& s) {
  if (s.restarts.size() < 2) return {};
  const back_off& pauses = s.rules.pauses;
  const double grown =
      static_cast<double>(pauses.first.count()) * std::pow(pauses.factor, s.restarts.size() - 2);
  const double pause = std::min(grown, static_cast<double>(pauses.longest.count()));
  const double part = 1 - pauses.jitter * std::uniform_real_distribution<double>(0, 1)(chance_);
  return saturating_ceil<clock::duration>(std::chrono::duration<double, std::nano>(pause * part));
}

bool supervision::restarts_with(service_id other, service_id id) const noexcept {
  return how_ == strategy::one_for_all || (how_ == strategy::rest_for_one && other > id);
}

/// The others that start again with it: those that run are stopped first.
void supervision::restart_with_group(service_id id) {
  for (auto& [other, each] : services_) {
    if (other == id || !restarts_with(other, id) || !each.wanted || each.current == 0) continue;
    to_stop_.insert(other);
    note_blocking({other, each});
  }
}

// --- steps ---

void supervision::make(entry it, instance_id& place, time now) {
  place = ++last_id_;
  instance& made = instances_[place];
  made.service = it.first;
  set_due(place, made, it.second.rules.start_within, now);
  actions_.push_back({what::start, it.first, place});
}

void supervision::ask(instance_id id, time now) {
  instance& which = instances_.at(id);
  if (which.at == phase::stopping) return;
  service& s = services_.at(which.service);
  if (which.at == phase::ready && id == s.current) s.ready_for += now - s.ready_since;
  which.at = phase::stopping;
  if (!which.overdue) set_due(id, which, s.rules.stop_within, now);  // otherwise it has been killed
  actions_.push_back({what::ask, which.service, id});
}

void supervision::ask_all(entry it, time now) {
  service& s = it.second;
  if (s.next != 0) {
    s.leaving.push_back(s.next);
    ask(std::exchange(s.next, 0), now);
  }
  if (s.current != 0) ask(s.current, now);
}

void supervision::await_turn(entry it, time due, time now) {
  set_state(it, service_state::waiting);
  set_due(it, due > now ? due : time::max());
  if (due <= now) turns_.insert(it.first);
  note_blocking(it);
}

void supervision::settle(entry it, service_state as) {
  it.second.wanted = false;
  set_due(it, time::max());
  turns_.erase(it.first);
  set_state(it, as);
  note_blocking(it);
}

void supervision::set_state(entry it, service_state state) {
  if (std::exchange(it.second.state, state) != state) actions_.push_back({what::changed, it.first, 0, state});
}

/// Later services wait for one that is on its way to being ready. Where each stands for itself that is only so the first
/// time: its later restarts are nobody else's affair.
void supervision::note_blocking(entry it) {
  const service& s = it.second;
  const bool on_its_way = s.wanted && (s.state != service_state::ready || to_stop_.contains(it.first));
  if (on_its_way && (how_ != strategy::one_for_one || !s.placed)) {
    blockers_.insert(it.first);
  } else {
    blockers_.erase(it.first);
  }
}

void supervision::forget_if_doomed(service_id id) {
  const auto found = services_.find(id);
  if (found == services_.end() || !found->second.doomed || !found->second.gone()) return;
  troubled_.erase(id);
  blockers_.erase(id);
  services_.erase(found);
  actions_.push_back({what::removed, id, 0});
}

void supervision::pump(time now) {
  stop_in_order(now);
  start_in_order(now);
  if (!shutting_down_ || finished_ || !instances_.empty()) return;
  finished_ = true;
  actions_.push_back({what::finished, 0, 0});
}

/// One service at a time, the last one first.
void supervision::stop_in_order(time now) {
  while (stopping_now_ == 0 && !to_stop_.empty()) {
    const service_id id = *to_stop_.rbegin();
    to_stop_.erase(id);
    const entry it{id, services_.at(id)};
    if (it.second.gone()) continue;
    stopping_now_ = id;
    if (it.second.current != 0) set_state(it, service_state::stopping);
    ask_all(it, now);
  }
}

void supervision::start_in_order(time now) {
  for (auto next = turns_.begin(); next != turns_.end();) {
    const auto each = next++;
    const service_id id = *each;
    if (!blockers_.empty() && *blockers_.begin() < id) return;
    const entry it{id, services_.at(id)};
    if (!may_start(it)) continue;
    turns_.erase(each);
    set_state(it, service_state::starting);
    make(it, it.second.current, now);
  }
}

/// Not beside what is left of it, nor while those that start after it are still being stopped.
bool supervision::may_start(const entry& it) const {
  if (shutting_down_ || !it.second.gone()) return false;
  if (how_ == strategy::one_for_one) return true;
  return (to_stop_.empty() || *to_stop_.rbegin() < it.first) && stopping_now_ <= it.first;
}

void supervision::set_due(instance_id id, instance& which, std::chrono::nanoseconds limit, time now) {
  deadlines_.erase({which.due, id});
  which.due = limit == std::chrono::nanoseconds::max() ? time::max() : time_after(now, limit);
  if (which.due != time::max()) deadlines_.insert({which.due, id});
}

/// The end of a service's back-off. `time::max()`: it has none.
void supervision::set_due(entry it, time due) {
  deadlines_.erase({it.second.due, it.first});
  turns_.erase(it.first);
  it.second.due = due;
  if (due != time::max()) deadlines_.insert({due, it.first});
}

}  // namespace detail
}  // namespace brood
