// The decisions of a supervisor, under a clock of the test's own: single cases, and random programs against a model that
// knows nothing of how they are made.
#include "service/supervision.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "catch.hpp"

using namespace std::chrono_literals;
using brood::restart_intensity;
using brood::restart_when;
using brood::service_state;
using brood::strategy;
using brood::detail::instance_id;
using brood::detail::service_id;
using brood::detail::service_rules;
using brood::detail::supervision;
using kind = brood::detail::supervision_action::kind;
using time_point = supervision::time;

namespace {

/// A world of instances that do nothing by themselves, and the rules that hold in it whatever happens.
class world {
 public:
  struct body {
    service_id service = 0;
    bool ready = false;
    bool asked = false;
    bool killed = false;
  };

  world(strategy how, restart_intensity limit, std::uint64_t seed)
      : how_(how), limit_(limit), machine(how, limit, seed) {}

  service_id add(const service_rules& rules) {
    const service_id id = machine.add(rules, now);
    rules_[id] = rules;
    obey();
    return id;
  }
  template <class Change>
  void change(Change what) {
    what(machine);
    obey();
  }
  void become_ready(instance_id id) {
    machine.ready(id, now);
    body& b = running.at(id);
    if (!b.asked && !b.killed && !b.ready) {
      b.ready = true;
      if (!ready_since_.contains(b.service)) ready_since_[b.service] = now;
      placed_[b.service] = true;
    }
    obey();
  }
  void end(instance_id id, bool success = false) {
    const body gone = running.at(id);
    running.erase(id);
    const bool replaced = gone.service != 0 && current(gone.service) != 0;
    const bool was_ready = ready_since_.contains(gone.service);
    if (was_ready && !replaced) {
      ready_for_[gone.service] += now - ready_since_[gone.service];
      ready_since_.erase(gone.service);
    }
    const bool gave_up_before = std::exchange(expected_give_up_, false) || gave_up;
    if (!gone.asked && !replaced && counts(gone, success)) note_restart(gone.service);
    machine.ended(id, success, now);
    obey();
    if (in_order && !reloads) CHECK(gave_up == (expected_give_up_ || gave_up_before));
  }
  void pass(brood::clock::duration d) {
    now += d;
    machine.on_time(now);
    obey();
  }
  /// To the next deadline, if there is one.
  void pass() {
    if (machine.next() != time_point::max()) pass(std::max(machine.next() - now, brood::clock::duration()));
  }

  /// The one that is not on its way out, 0 if there is none.
  instance_id current(service_id s) const {
    for (const auto& [id, b] : running)
      if (b.service == s && !b.asked) return id;
    return 0;
  }
  std::size_t count(service_id s) const {
    return static_cast<std::size_t>(std::count_if(
        running.begin(), running.end(), [&](const auto& each) { return each.second.service == s; }));
  }

  std::map<instance_id, body> running;
  std::vector<service_id> started;  // all starts, in order
  time_point now{};
  bool gave_up = false;
  bool finished = false;
  bool reloads = false;  // two instances of a service may run
  bool in_order = true;  // no service was stopped or restarted by itself
  bool shut_down = false;

 private:
  bool counts(const body& gone, bool success) const {
    if (shut_down || gave_up) return false;
    const restart_when when = rules_.at(gone.service).restart;
    return when == restart_when::always || (when == restart_when::on_failure && (!success || gone.killed));
  }
  /// The naive count: all restarts that were ever made, each with how long its service had been ready.
  void note_restart(service_id s) {
    restarts_.push_back({s, ready_for(s)});
    std::size_t recent = 0;
    for (const auto& [service, stamp] : restarts_)
      recent += ready_for(service) - stamp < limit_.within ? 1 : 0;
    expected_give_up_ = recent > limit_.restarts;
    died_at_[s] = now;
    recent_[s] = 0;
    for (const auto& [service, stamp] : restarts_)
      if (service == s && ready_for(s) - stamp < limit_.within) ++recent_[s];
  }
  brood::clock::duration ready_for(service_id s) {
    return ready_for_[s] + (ready_since_.contains(s) ? now - ready_since_[s] : 0ns);
  }

  void obey() {
    for (const auto& action : machine.take_actions()) {
      switch (action.what) {
        case kind::start:
          start(action.service, action.instance);
          break;
        case kind::ask:
          ask(action.instance);
          break;
        case kind::kill:
          running.at(action.instance).killed = true;
          break;
        case kind::gave_up:
          CHECK_FALSE(gave_up);
          gave_up = true;
          shut_down = true;
          break;
        case kind::finished:
          CHECK_FALSE(finished);
          CHECK(running.empty());
          finished = true;
          break;
        default:
          break;
      }
    }
  }
  void start(service_id s, instance_id id) {
    CHECK_FALSE(shut_down);
    if (!reloads) CHECK(count(s) == 0);
    if (in_order && !reloads) check_order_of_start(s);
    check_pause(s);
    running[id] = {s, false, false, false};
    started.push_back(s);
  }
  /// Those before it are ready, or do not run any more.
  void check_order_of_start(service_id s) {
    for (const auto& [earlier, rules] : rules_) {
      if (earlier >= s) break;
      if (how_ == strategy::one_for_one && placed_[earlier]) continue;
      const service_state state = machine.state(earlier);
      CHECK((state == service_state::ready || state == service_state::ended ||
             state == service_state::stopped));
    }
    if (how_ == strategy::one_for_one) return;
    for (const auto& [id, b] : running) CHECK((b.service < s || how_ == strategy::one_for_one));
  }
  /// No storm: from the second restart that is not forgotten on there is a pause, and it grows.
  void check_pause(service_id s) {
    const auto death = died_at_.extract(s);
    if (reloads || !in_order || recent_[s] < 2 || !death) return;
    const auto& pauses = rules_.at(s).pauses;
    double pause = static_cast<double>(pauses.first.count());
    for (std::size_t i = 2; i < recent_[s]; ++i) pause *= pauses.factor;
    pause = std::min(pause, static_cast<double>(pauses.longest.count())) * (1 - pauses.jitter);
    CHECK(static_cast<double>((now - death.mapped()).count()) >= pause - 1);
  }

  void ask(instance_id id) {
    body& b = running.at(id);
    CHECK_FALSE(b.asked);
    b.asked = true;
    if (ready_since_.contains(b.service) && current(b.service) == 0) {
      ready_for_[b.service] += now - ready_since_[b.service];
      ready_since_.erase(b.service);
    }
    if (!shut_down && (how_ == strategy::one_for_one || !in_order || reloads)) return;
    if (reloads) return;
    // In reverse order: what was started later is gone.
    for (const auto& [other, later] : running) CHECK(later.service <= b.service);
  }

  strategy how_;
  restart_intensity limit_;
  std::map<service_id, service_rules> rules_;
  std::map<service_id, bool> placed_;
  std::map<service_id, brood::clock::duration> ready_for_;
  std::map<service_id, time_point> ready_since_;
  std::map<service_id, time_point> died_at_;
  std::map<service_id, std::size_t> recent_;
  std::vector<std::pair<service_id, brood::clock::duration>> restarts_;
  bool expected_give_up_ = false;

 public:
  supervision machine;
};

service_rules rules_with(restart_when when = restart_when::always) {
  service_rules rules;
  rules.restart = when;
  return rules;
}

}  // namespace

TEST_CASE("services start in order, each when the one before it is ready") {
  world w(strategy::one_for_one, {}, 1);
  const auto a = w.add(rules_with());
  const auto b = w.add(rules_with());
  CHECK(w.started == std::vector<service_id>{a});
  w.become_ready(w.current(a));
  CHECK(w.started == std::vector<service_id>{a, b});
}

TEST_CASE("one_for_one: only what died starts again, and at once the first time") {
  world w(strategy::one_for_one, {}, 1);
  const auto a = w.add(rules_with());
  w.become_ready(w.current(a));
  const auto b = w.add(rules_with());
  w.become_ready(w.current(b));
  w.end(w.current(a));
  CHECK(w.started == std::vector<service_id>{a, b, a});
  CHECK(w.running.size() == 2);
}

TEST_CASE("rest_for_one: those after it are stopped from the last, and all start in order") {
  world w(strategy::rest_for_one, {}, 1);
  std::vector<service_id> s;
  for (int i = 0; i < 4; ++i) {
    s.push_back(w.add(rules_with()));
    w.become_ready(w.current(s.back()));
  }
  w.end(w.current(s[1]));
  CHECK(w.running.size() == 3);
  const auto stopping = [&](service_id id) { return w.machine.state(id) == service_state::stopping; };
  CHECK(stopping(s[3]));
  CHECK_FALSE(stopping(s[2]));
  w.end(w.running.rbegin()->first);
  CHECK(stopping(s[2]));
  w.end(w.running.rbegin()->first);
  CHECK(w.machine.state(s[0]) == service_state::ready);
  w.become_ready(w.current(s[1]));
  w.become_ready(w.current(s[2]));
  w.become_ready(w.current(s[3]));
  CHECK(w.started == std::vector<service_id>{s[0], s[1], s[2], s[3], s[1], s[2], s[3]});
}

TEST_CASE("a service that never stays up is given up, however long its pauses are") {
  const auto longest = GENERATE(0ms, 100ms, 60'000ms, 3'600'000ms);
  world w(strategy::one_for_one, {5, 10s}, 1);
  service_rules rules;
  rules.pauses.longest = longest;
  const auto a = w.add(rules);
  for (int i = 0; i < 6; ++i) {
    CHECK_FALSE(w.gave_up);
    if (w.current(a) == 0) w.pass();
    w.become_ready(w.current(a));
    w.pass(1s);
    w.end(w.current(a));
  }
  CHECK(w.gave_up);
  CHECK(w.finished);
}

TEST_CASE("a restart is forgotten when the service has been ready for long enough") {
  world w(strategy::one_for_one, {2, 10s}, 1);
  const auto a = w.add(rules_with());
  for (int i = 0; i < 50; ++i) {
    w.become_ready(w.current(a));
    w.pass(10s);
    w.end(w.current(a));
    CHECK(w.current(a) != 0);  // and there is no pause
  }
  CHECK_FALSE(w.gave_up);
}

TEST_CASE("on_failure: what ends well stays ended; never: whatever happens") {
  world w(strategy::one_for_all, {}, 1);
  const auto a = w.add(rules_with(restart_when::on_failure));
  w.become_ready(w.current(a));
  const auto b = w.add(rules_with(restart_when::never));
  w.become_ready(w.current(b));
  w.end(w.current(a), true);
  w.end(w.current(b), false);
  CHECK(w.machine.state(a) == service_state::ended);
  CHECK(w.machine.state(b) == service_state::ended);
  CHECK(w.started.size() == 2);
}

TEST_CASE("what is not alive in time, or not ready, is killed and counts as failed") {
  world w(strategy::one_for_one, {}, 1);
  service_rules rules = rules_with(restart_when::on_failure);
  rules.watchdog = 1s;
  rules.start_within = 5s;
  const auto a = w.add(rules);
  w.change([&](auto& m) { m.extend(w.current(a), 20s, w.now); });
  w.pass(6s);
  CHECK_FALSE(w.running.at(w.current(a)).killed);
  w.become_ready(w.current(a));
  for (int i = 0; i < 5; ++i) {
    w.pass(900ms);
    w.change([&](auto& m) { m.alive(w.current(a), w.now); });
  }
  CHECK_FALSE(w.running.at(w.current(a)).killed);
  w.pass(1s);
  CHECK(w.running.at(w.current(a)).killed);
  w.end(w.current(a), true);
  CHECK(w.started.size() == 2);
}

TEST_CASE("a reload replaces an instance when the new one is ready, and keeps it if that fails") {
  world w(strategy::one_for_one, {}, 1);
  w.reloads = true;
  const auto a = w.add(rules_with());
  const auto first = w.current(a);
  w.become_ready(first);
  instance_id second = 0;
  w.change([&](auto& m) { second = m.reload(a, w.now); });
  w.end(second);
  CHECK(w.running.contains(first));
  CHECK(w.machine.state(a) == service_state::ready);
  instance_id third = 0;
  w.change([&](auto& m) { third = m.reload(a, w.now); });
  CHECK_FALSE(w.running.at(first).asked);
  w.become_ready(third);
  CHECK(w.running.at(first).asked);
  w.end(first);
  CHECK(w.current(a) == third);
  CHECK(w.started.size() == 3);
}

namespace {

service_rules random_rules(std::mt19937& chance) {
  const auto below = [&](int n) { return static_cast<int>(chance() % static_cast<unsigned>(n)); };
  service_rules rules;
  rules.restart = static_cast<restart_when>(below(3));
  rules.pauses.first = std::chrono::milliseconds(below(200));
  rules.pauses.longest = std::chrono::milliseconds(100 << below(10));
  rules.pauses.jitter = below(2) == 0 ? 0 : 0.5;
  if (below(3) == 0) rules.start_within = std::chrono::milliseconds(1 + below(2000));
  if (below(3) == 0) rules.watchdog = std::chrono::milliseconds(1 + below(2000));
  rules.stop_within = std::chrono::milliseconds(below(500));
  return rules;
}

/// One program: services that die, become ready and stop as chance will have it; then the end.
void run_program(unsigned seed, bool with_requests) {
  CAPTURE(seed);
  std::mt19937 chance(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(chance() % n); };
  world w(static_cast<strategy>(below(3)), {below(6), std::chrono::milliseconds(100 << below(8))}, seed);
  w.in_order = !with_requests;
  w.reloads = with_requests;
  std::vector<service_id> services;
  const std::size_t steps = 20 + below(120);
  for (std::size_t step = 0; step < steps && !w.finished; ++step) {
    const std::size_t choice = below(with_requests ? 12 : 8);
    if (choice == 0 && services.size() < 8) {
      services.push_back(w.add(random_rules(chance)));
    } else if (choice <= 4 && !w.running.empty()) {
      const auto which =
          std::next(w.running.begin(), static_cast<std::ptrdiff_t>(below(w.running.size())))->first;
      if (choice <= 2) {
        w.become_ready(which);
      } else {
        w.end(which, below(3) == 0);
      }
    } else if (choice <= 6) {
      w.pass(std::chrono::milliseconds(below(300)));
    } else if (choice == 7) {
      w.pass();
    } else if (!services.empty()) {
      const service_id id = services[below(services.size())];
      w.change([&](supervision& m) {
        if (choice == 8) m.stop(id, w.now);
        if (choice == 9) m.restart(id, w.now);
        if (choice == 10) m.reload(id, w.now);
        if (choice == 11 && !w.running.empty()) m.alive(w.running.begin()->first, w.now);
      });
    }
  }
  w.shut_down = true;
  w.in_order = true;
  w.reloads = w.reloads && !w.gave_up;
  w.change([&](supervision& m) { m.shut_down(w.now); });
  for (int i = 0; i < 1000 && !w.finished; ++i) {
    REQUIRE_FALSE(w.running.empty());
    const auto asked = std::find_if(w.running.rbegin(), w.running.rend(),
                                    [](const auto& each) { return each.second.asked || each.second.killed; });
    REQUIRE(asked != w.running.rend());
    w.end(asked->first);
  }
  CHECK(w.finished);
  CHECK(w.machine.next() == time_point::max());
}

}  // namespace

TEST_CASE("ten thousand random programs keep order, pauses and limits") {
  for (unsigned seed = 1; seed <= 10'000; ++seed) run_program(seed, false);
}

TEST_CASE("ten thousand more, with requests, end with nothing that runs") {
  for (unsigned seed = 1; seed <= 10'000; ++seed) run_program(seed, true);
}
