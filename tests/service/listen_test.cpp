// Sockets that a supervisor holds for its services: nobody is refused while they restart or reload.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

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

/// A copy of another process's descriptor: both share the setting O_NONBLOCK.
brood::unique_fd descriptor_of(pid_t process, int number) {
  const brood::unique_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  brood::unique_fd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), number, 0)));
  if (!copy) throw std::system_error(errno, std::system_category(), "pidfd_getfd");
  return copy;
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

TEST_CASE("a program gets its sockets as sd_listen_fds(3) says, with its own pid") {
  run_clean([]() -> task<> {
    const std::string check =
        "[ \"$LISTEN_PID\" = $$ ] && [ \"$LISTEN_FDS\" = 2 ] && [ \"$LISTEN_FDNAMES\" = a:b ] && "
        "[ -S /proc/self/fd/3 ] && [ -S /proc/self/fd/4 ] && [ ! -e /proc/self/fd/5 ]";
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      auto service = co_await s.run(brood::command("sh", "-c", check))
                         .restart(brood::restart_when::never)
                         .listen("tcp:127.0.0.1:0", "a")
                         .listen("unix:@brood-listen-test-" + std::to_string(::getpid()), "b");
      CHECK(service.name() == "sh");
      const auto status = co_await service.result();
      CHECK(status.exitcode == 0);
    });
  });
}

TEST_CASE("a program that is given no sockets does not take over those of its parent") {
  ::setenv("LISTEN_FDS", "1", 1);
  ::setenv("LISTEN_PID", "1", 1);
  run_clean([]() -> task<> {
    auto checking = brood::command("sh", "-c", "[ \"$LISTEN_PID\" = 1 ]").status();
    const auto status = co_await std::move(checking);
    CHECK(status.exitcode == 0);
  });
  ::unsetenv("LISTEN_FDS");
  ::unsetenv("LISTEN_PID");
}

TEST_CASE("a program that has made its socket non-blocking keeps it so while it reloads") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto service = co_await s.run(brood::command("sleep", "100")).listen("tcp:127.0.0.1:0");
      brood::unique_fd socket = descriptor_of(service.pid(), 3);
      CHECK((::fcntl(socket.get(), F_GETFL) & O_NONBLOCK) == 0);
      ::fcntl(socket.get(), F_SETFL, O_NONBLOCK);
      co_await service.reload();
      CHECK((::fcntl(socket.get(), F_GETFL) & O_NONBLOCK) != 0);
    });
  });
}

TEST_CASE("a service that is set in several statements keeps what was set") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto operation = s.run(brood::command("sleep", "100")).name("web");
      operation = std::move(operation).listen("tcp:127.0.0.1:0");
      operation = std::move(operation).stop_within(1s);
      auto service = co_await std::move(operation);
      CHECK(service.name() == "web");
      CHECK(service.address().port() != 0);
    });
  });
}

TEST_CASE("a program that ends as soon as it is started was ready") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      for (int i = 0; i < 30; ++i) {
        auto service = co_await s.run(brood::command("true")).restart(brood::restart_when::never);
        const auto status = co_await service.result();
        CHECK(status.exitcode == 0);
      }
    });
  });
}

TEST_CASE("what cannot be passed to a program is refused") {
  run_clean([]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [](supervisor& s) -> task<> {
      auto taken = s.run(brood::command("sleep", "100").fd(3, 0)).listen("tcp:127.0.0.1:0");
      CHECK_THROWS_AS(co_await std::move(taken), std::invalid_argument);
      auto two_names = s.run(brood::command("sleep", "100")).listen("tcp:127.0.0.1:0", "a:b");
      CHECK_THROWS_AS(co_await std::move(two_names), std::invalid_argument);
    });
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
