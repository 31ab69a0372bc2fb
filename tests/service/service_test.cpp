// Supervisors and what they supervise: order, readiness, restarts, results, limits.
#include <csignal>
#include <functional>
#include <stdexcept>

#include "../process/bodies.hpp"
#include "brood/channel/queue.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "brood/service/find_service.hpp"
#include "brood/service/this_service.hpp"
#include "brood/service/with_supervisor.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/lock.hpp"
#include "brood/sync/shared_value.hpp"
#include "catch.hpp"
#include "orphans.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::readiness;
using brood::restart_when;
using brood::service_state;
using brood::strategy;
using brood::supervisor;
using brood::task;

namespace {

/// Counts how often it has been called, and dies until that has happened so often.
task<int> die_until(brood::shared_value<int> calls, int enough) {
  auto count = co_await calls.locked();
  const int now = ++*count;
  if (now < enough) ::raise(SIGKILL);  // with the lock held
  co_return now;
}

task<> tell_pid(brood::queue<int> pids) {
  co_await pids.put(getpid());
  co_await brood::sleep_for(1h);
}

task<> be_ready_after(brood::event go) {
  co_await go.wait();
  brood::this_service().status("on the way");
  brood::this_service().ready();
  co_await brood::sleep_for(1h);
}

task<> be_alive_twice(brood::event done) {
  const auto limit = brood::this_service().watchdog();
  if (!limit || *limit != 400ms) ::_exit(3);
  brood::this_service().ready();
  brood::this_service().alive();
  brood::this_service().alive();
  done.set();
  co_await brood::sleep_for(1h);
}

void throw_at_once() { throw std::runtime_error("failed on purpose"); }

/// Services that note in which order they begin and end.
class diary {
 public:
  std::function<task<>()> writer(std::string name) {
    return [this, name]() -> task<> { return write(*this, name); };
  }
  std::string text;

 private:
  static task<> write(diary& self, std::string name) {
    self.text += "+" + name;
    bool asked = false;
    try {
      co_await brood::sleep_for(1h);
    } catch (const brood::cancelled&) {
      asked = true;
    }
    if (asked) self.text += "-" + name;
  }
};

template <class S>
task<> until_restarted(S service, std::size_t times) {
  auto events = service.events();
  while (auto event = co_await events.next()) {
    if (event->restarts >= times && event->state == service_state::ready) co_return;
  }
}

}  // namespace

TEST_CASE("services start in order and stop in reverse order, also when they are cancelled") {
  run_clean([]() -> task<> {
    diary written;
    auto body = [&](supervisor& s) -> task<> {
      co_await s.run(written.writer("a"));
      co_await s.run(written.writer("b"));
      co_await s.run(written.writer("c"));
      co_await brood::sleep_for(1h);
    };
    auto whole = brood::with_supervisor(strategy::one_for_one, body);
    CHECK_THROWS_AS(co_await brood::with_timeout(50ms, std::move(whole)), brood::timed_out);
    CHECK(written.text == "+a+b+c-c-b-a");
  });
}

TEST_CASE("rest_for_one stops those behind in reverse and starts them in order") {
  run_clean([]() -> task<> {
    diary written;
    co_await brood::with_supervisor(strategy::rest_for_one, [&](supervisor& s) -> task<> {
      co_await s.run(written.writer("a"));
      auto b = co_await s.run(written.writer("b"));
      co_await s.run(written.writer("c"));
      auto d = co_await s.run(written.writer("d"));
      co_await b.restart();
      co_await d.ready();
    });
    CHECK(written.text == "+a+b+c+d-d-c-b+b+c+d-d-c-b-a");
  });
}

TEST_CASE("a service that is killed starts again with the same arguments") {
  run_clean([]() -> task<> {
    brood::queue<int> pids;
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto service = co_await s.run<tell_pid>(pids).name("teller");
      const int first = co_await pids.get();
      CHECK(service.pid() == first);
      CHECK(service.name() == "teller");
      ::kill(first, SIGKILL);
      const int second = co_await pids.get();
      CHECK(second != first);
      co_await service.ready();
      CHECK(service.restarts() == 1);
      CHECK(service.pid() == second);
    });
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a result survives restarts, and a dead instance's lock is back before the next one starts") {
  run_clean([]() -> task<> {
    brood::shared_value<int> calls(0);
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto service = co_await s.run<die_until>(calls, 3).restart(restart_when::on_failure);
      const int given = co_await service.result();
      CHECK(given == 3);
      CHECK(service.restarts() == 2);
      CHECK(service.state() == service_state::ended);
      co_await s.join();
    });
  });
}

TEST_CASE("run returns when the service says that it is ready") {
  run_clean([]() -> task<> {
    brood::event go;
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto slow = s.run<be_ready_after>(go).ready_when(readiness::notified);
      CHECK_THROWS_AS(co_await brood::with_timeout(50ms, std::move(slow)), brood::timed_out);
      CHECK(s.services().empty());  // cancelled: stopped and forgotten
      go.set();
      auto service = co_await s.run<be_ready_after>(go).ready_when(readiness::notified);
      CHECK(service.state() == service_state::ready);
      CHECK(service.status() == "on the way");
    });
  });
}

TEST_CASE("run returns when the probe says that the service is ready") {
  run_clean([]() -> task<> {
    int asked = 0;
    auto probe = [&asked]() -> task<bool> {
      if (++asked == 1) throw std::runtime_error("not yet");
      co_return asked == 3;
    };
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto service = co_await s.run<wait_for_ever>().probe(probe, 1ms);
      CHECK(asked == 3);
      CHECK(service.pid() > 0);
    });
  });
}

TEST_CASE("a script is heard: systemd-notify from a descendant") {
  if (::access("/usr/bin/systemd-notify", X_OK) != 0) {
    WARN("skipped: systemd-notify is not installed");
    return;
  }
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto service =
          co_await s.run(brood::command("sh", "-c", "systemd-notify --status=here --ready; sleep 100; true"))
              .ready_when(readiness::notified);
      CHECK(service.status() == "here");
    });
  });
}

TEST_CASE("a service that never gets ready is killed and given up") {
  run_clean([]() -> task<> {
    auto body = [](supervisor& s) -> task<> {
      co_await s.run<wait_for_ever>().ready_when(readiness::notified).start_within(20ms);
    };
    const brood::restart_intensity limit{1, 1h};
    CHECK_THROWS_AS(co_await brood::with_supervisor(strategy::one_for_one, body, limit),
                    brood::restart_limit);
  });
}

TEST_CASE("a service that is silent for longer than its watchdog allows is killed and starts again") {
  run_clean([]() -> task<> {
    brood::event done;
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto service = co_await s.run<be_alive_twice>(done).ready_when(readiness::notified).watchdog(400ms);
      co_await done.wait();
      co_await until_restarted(service, 1);
      CHECK(service.restarts() == 1);
    });
  });
}

TEST_CASE("beyond its limit a supervisor stops everything and throws the last death") {
  run_clean([]() -> task<> {
    diary written;
    std::exception_ptr last;
    auto body = [&](supervisor& s) -> task<> {
      co_await s.run(written.writer("a"));
      auto service = co_await s.run<throw_at_once>().stderr_(brood::null).back_off({1ms, 2, 5ms, 0});
      co_await brood::sleep_for(1h);
    };
    try {
      co_await brood::with_supervisor(strategy::one_for_one, body, brood::restart_intensity{3, 1h});
    } catch (const brood::restart_limit& e) {
      CHECK_THAT(e.what(), contains_text("failed on purpose"));
      last = e.last();
    }
    REQUIRE(last != nullptr);
    CHECK_THROWS_AS(std::rethrow_exception(last), brood::remote_error);
    CHECK(written.text == "+a-a");
  });
}

TEST_CASE("an outer supervisor decides what becomes of an inner one that gave up") {
  run_clean([]() -> task<> {
    int begun = 0;
    auto inner = [&](supervisor& s) -> task<> {
      const bool first = ++begun == 1;
      co_await s.run<wait_for_ever>();
      if (first) co_await s.run<throw_at_once>().stderr_(brood::null);
    };
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto below = co_await s.supervise(strategy::one_for_all, inner, brood::restart_intensity{0, 1h});
      if (begun == 1) co_await until_restarted(below, 1);
      CHECK(begun == 2);
      CHECK(below.state() == service_state::ready);
    });
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("what cannot be started at all throws from run, and the others go on") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto other = co_await s.run<wait_for_ever>();
      CHECK_THROWS_AS(co_await s.run(brood::command("/no/such/program")), std::system_error);
      CHECK(other.state() == service_state::ready);
      CHECK(s.services().size() == 1);
    });
  });
}

TEST_CASE("a service is stopped and started on request, and tells of it") {
  run_clean([]() -> task<> {
    std::vector<service_state> seen;
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto service = co_await s.run(brood::command("sleep", "100"));
      auto events = service.events();
      for (const auto wanted : {service_state::ready, service_state::stopping, service_state::stopped}) {
        if (wanted == service_state::stopping) co_await service.stop();
        const auto event = co_await events.next();
        REQUIRE(event);
        seen.push_back(event->state);
        CHECK(event->state == wanted);
      }
      CHECK(service.pid() == 0);
      const auto status = co_await service.result();
      CHECK(status.signal == SIGTERM);
      co_await service.restart();
      CHECK(service.pid() > 0);
      co_await s.remove(service);
      CHECK(s.services().empty());
      CHECK_THROWS_AS(co_await service.restart(), brood::service_stopped);
    });
    CHECK(seen.size() == 3);
  });
}

TEST_CASE("a reload starts the new instance before it stops the old one") {
  run_clean([]() -> task<> {
    brood::event go;
    go.set();
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto service = co_await s.run<be_ready_after>(go).ready_when(readiness::notified);
      const pid_t before = service.pid();
      co_await service.reload();
      CHECK(service.pid() != before);
      CHECK(service.state() == service_state::ready);
      go.clear();
      auto reloading = service.reload();
      CHECK_THROWS_AS(co_await brood::with_timeout(20ms, std::move(reloading)), brood::timed_out);
      CHECK_THROWS_AS(co_await service.reload(), std::logic_error);  // it reloads already
      go.set();
    });
  });
}

TEST_CASE("a service that does not end when it is asked is killed at its time") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto service = co_await s
                         .run(brood::command(
                             "sh", "-c", "trap '' TERM; systemd-notify --ready; while :; do sleep 1; done"))
                         .ready_when(readiness::notified)
                         .stop_within(20ms);
      co_await service.stop();
      const auto status = co_await service.result();
      CHECK(status.signal == SIGKILL);
    });
  });
}

namespace {
task<> look_for_it(int expected) {
  const auto found = co_await brood::find_service("the service");
  if (!found || found->pid != expected || found->state != service_state::ready)
    throw std::runtime_error("not found");
  if (co_await brood::find_service("another")) throw std::runtime_error("found what is not there");
}
}  // namespace

TEST_CASE("any process of the family finds a service by its name") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto service = co_await s.run<wait_for_ever>().name("the service");
      auto elsewhere = co_await brood::spawn<look_for_it>(service.pid());
      co_await elsewhere.result();
      co_await s.remove(service);
      const auto gone = co_await brood::find_service("the service");
      CHECK_FALSE(gone);
    });
  });
}

namespace {
task<> supervise_two(brood::queue<int> pids) {
  co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
    co_await s.run<tell_pid>(pids);
    co_await s.run(brood::command("sh", "-c", "sleep 100; true"));
    co_await s.run<tell_pid>(pids);
    co_await s.join();
  });
}
}  // namespace

TEST_CASE("a supervisor's own process is killed: all of its services are gone within a second") {
  const orphanage orphans;
  {
    brood::runtime loop;
    loop.run_until_complete([]() -> task<> {
      brood::queue<int> pids;
      auto process = co_await brood::spawn<supervise_two>(pids);
      co_await pids.get();
      co_await pids.get();
      process.kill();
      co_await process.join();
    }());
  }
  CHECK(orphans.all_gone(1s));
}
