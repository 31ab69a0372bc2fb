// Many services, and deaths at random.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <random>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/async_scope.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/service/this_service.hpp"
#include "brood/service/with_supervisor.hpp"
#include "brood/sync/lock.hpp"
#include "brood/sync/shared_value.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;
using brood::readiness;
using brood::restart_intensity;
using brood::service_state;
using brood::strategy;
using brood::supervisor;
using brood::task;

namespace {

const restart_intensity without_limit{restart_intensity::unlimited, 1h};
const brood::back_off no_pause{0ms, 1, 0ms, 0};

void violate(const brood::shared_value<int>& violations) { std::atomic_ref(violations.unlocked())++; }

/// Its own lock is free when it starts: the dead instance before it has given it back. The one before it in the order is alive,
/// and holds its own.
task<> hold(brood::lock own, std::optional<brood::lock> before, brood::shared_value<int> violations) {
  const auto held = own.try_acquire();
  if (!held) violate(violations);
  if (before && before->try_acquire()) violate(violations);
  brood::this_service().ready();
  co_await brood::sleep_for(1h);
}

/// Waits until an instance is ready that is not this one.
task<> replaced(brood::service<> service, pid_t instance) {
  auto events = service.events();
  while (const auto event = co_await events.next())
    if (event->state == service_state::ready && event->pid != instance) co_return;
}

}  // namespace

TEST_CASE("of many services that are killed at random each starts again, and finds its lock free") {
  run_clean([]() -> task<> {
    const int count = many(300);
    const int kills = 3 * count;
    brood::shared_value<int> violations(0);
    co_await brood::with_supervisor(
        strategy::one_for_one,
        [&](supervisor& s) -> task<> {
          std::vector<brood::service<>> services;
          for (int i = 0; i < count; ++i) {
            std::optional<brood::lock> none;
            services.push_back(co_await s.run<hold>(brood::lock(), none, violations).back_off(no_pause));
          }
          std::mt19937 chance(7);
          std::vector<pid_t> killed(services.size());
          for (int i = 0; i < kills; ++i) {
            const std::size_t victim = chance() % services.size();
            co_await replaced(services[victim], killed[victim]);
            killed[victim] = services[victim].pid();
            services[victim].current()->kill();
          }
          std::size_t restarts = 0;
          for (std::size_t i = 0; i < services.size(); ++i) {
            co_await replaced(services[i], killed[i]);
            restarts += services[i].restarts();
          }
          CHECK(restarts == static_cast<std::size_t>(kills));
        },
        without_limit);
    CHECK(violations.unlocked() == 0);
  });
}

TEST_CASE("rest_for_one under random kills: what starts finds the one before it alive") {
  run_clean([]() -> task<> {
    brood::shared_value<int> violations(0);
    co_await brood::with_supervisor(
        strategy::rest_for_one,
        [&](supervisor& s) -> task<> {
          std::vector<brood::service<>> services;
          std::optional<brood::lock> before;
          for (int i = 0; i < 8; ++i) {
            brood::lock own;
            services.push_back(co_await s.run<hold>(own, before, violations)
                                   .ready_when(readiness::notified)
                                   .back_off(no_pause));
            before = own;
          }
          std::mt19937 chance(11);
          for (int round = 0; round < 12; ++round) {
            const auto& victim = services[chance() % services.size()];
            co_await victim.ready();
            const pid_t instance = victim.pid();
            victim.current()->kill();
            co_await replaced(victim, instance);
          }
          for (const auto& each : services) co_await each.ready();
        },
        without_limit);
    CHECK(violations.unlocked() == 0);
  });
}

TEST_CASE("a thousand services in this process: added, idle on one timer, and removed") {
  run_clean([]() -> task<> {
    int running = 0;
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      std::vector<brood::service<>> services;
      auto body = [&running]() -> task<> {
        ++running;
        brood::async_event never;
        co_await never.wait();
      };
      for (int i = 0; i < 1000; ++i) services.push_back(co_await s.run(body).watchdog(1h));
      co_await brood::yield();
      CHECK(running == 1000);
      CHECK(s.services().size() == 1000);
      for (int i = 0; i < 1000; i += 2) co_await s.remove(services[static_cast<std::size_t>(i)]);
      CHECK(s.services().size() == 500);
    });
  });
}
