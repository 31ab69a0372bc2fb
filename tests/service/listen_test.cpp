// Sockets that a supervisor holds for its services: nobody is refused while they restart or reload.
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/service/this_service.hpp"
#include "brood/service/with_supervisor.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "serving.hpp"

using namespace std::chrono_literals;
using brood::readiness;
using brood::strategy;
using brood::supervisor;
using brood::task;

namespace {

task<> serve(std::string name) {
  const auto socket = co_await brood::this_service().listener(name);
  brood::this_service().ready();
  for (;;) {
    co_await brood::poll(socket.get(), brood::fd_watch::readable);
    const brood::unique_fd client(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;  // another instance has it
    char request[64];
    ssize_t size;
    do {
      size = ::recv(client.get(), request, sizeof request, 0);
    } while (size < 0 && errno == EINTR);  // the request to stop: this client is served first
    if (size <= 0) continue;
    const std::string answer = std::to_string(::getpid());
    ::send(client.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
  }
}

}  // namespace

TEST_CASE("a function gets the socket, and what connects while it is dead waits for the next instance") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto service =
          co_await s.run<serve>("web").ready_when(readiness::notified).listen("tcp:127.0.0.1:0", "web");
      CHECK(service.address().port() != 0);
      const auto first = co_await ask(service.address());
      CHECK(first == std::to_string(service.pid()));
      ::kill(service.pid(), SIGKILL);
      const auto second = co_await ask(service.address());
      CHECK(second != first);
      CHECK_FALSE(second.empty());
      CHECK_THROWS_AS(service.address("other"), std::out_of_range);
    });
  });
}

TEST_CASE("a service is reloaded under load, and nobody is refused or cut off") {
  run_clean([]() -> task<> {
    load_result result;
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto service =
          co_await s.run<serve>("web").ready_when(readiness::notified).listen("tcp:127.0.0.1:0", "web");
      bool done = false;
      co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
        for (int i = 0; i < 4; ++i) n.start(load(service.address(), result, [&] { return done; }));
        for (int i = 0; i < 10; ++i) {
          const pid_t before = service.pid();
          co_await service.reload();
          CHECK(service.pid() != before);
          const int so_far = result.answered;
          while (result.answered < so_far + 5) co_await brood::sleep_for(1ms);
        }
        done = true;
      });
      CHECK(service.restarts() == 0);
    });
    CHECK(result.refused == 0);
    CHECK(result.cut_off == 0);
    CHECK(result.answered >= 50);
  });
}

TEST_CASE("an address that is taken is told from run") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto first = co_await s.run<serve>("web").listen("tcp:127.0.0.1:0", "web");
      auto second = s.run<serve>("web").listen(first.address(), "web");
      CHECK_THROWS_AS(co_await std::move(second), std::system_error);
      CHECK(s.services().size() == 1);
    });
  });
}
