// Daemons of Debian's, as they are.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/service/with_supervisor.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "serving.hpp"
#include "system/stream_socket.hpp"

using namespace std::chrono_literals;
using brood::command;
using brood::readiness;
using brood::strategy;
using brood::supervisor;
using brood::task;

namespace {

bool is_missing(const std::string& path) {
  if (::access(path.c_str(), X_OK) == 0) return false;
  WARN("skipped: " << path << " is not installed");
  return true;
}

class folder {
 public:
  folder() {
    std::string name = std::filesystem::temp_directory_path() / "brood-daemon-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path = name;
  }
  ~folder() { std::filesystem::remove_all(path); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;

  std::filesystem::path path;
};

/// One that nobody uses at the moment.
std::uint16_t free_port() {
  const auto there = brood::sys::tcp_endpoint("127.0.0.1", 0);
  const auto socket = brood::sys::stream_socket(there);
  brood::sys::listen_at(socket.get(), there, "a free port");
  return brood::sys::bound_port(socket.get());
}

}  // namespace

TEST_CASE("redis-server says that it is ready, and starts again when it is killed") {
  if (is_missing("/usr/bin/redis-server")) return;
  const folder place;
  run_clean([&]() -> task<> {
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      const std::string socket = place.path / "redis.sock";
      auto redis = co_await s
                       .run(command("/usr/bin/redis-server", "--port", "0", "--unixsocket", socket,
                                    "--supervised", "systemd", "--save", "", "--dir", place.path.string())
                                .stdout_(brood::null))
                       .ready_when(readiness::notified);
      CHECK_THAT(redis.status(), contains_text("Ready"));
      CHECK(std::filesystem::exists(socket));  // it listens
      const pid_t before = redis.pid();
      ::kill(before, SIGKILL);
      auto events = redis.events();
      for (auto event = co_await events.next();
           event && (event->pid == before || event->state != brood::service_state::ready);)
        event = co_await events.next();
      CHECK(redis.restarts() == 1);
      CHECK(redis.pid() != before);
      co_await redis.stop();
      const auto status = co_await redis.result();
      CHECK(status.exitcode == 0);  // it took its leave
    });
  });
}

TEST_CASE("nginx is reloaded under load, and nobody is refused or cut off") {
  if (is_missing("/usr/sbin/nginx")) return;
  const folder place;
  const std::uint16_t port = free_port();
  std::ofstream(place.path / "nginx.conf")
      << "daemon off; worker_processes 1; pid " << (place.path / "nginx.pid").string() << ";\n"
      << "events { worker_connections 64; }\n"
      << "http { access_log off; client_body_temp_path " << (place.path / "body").string() << ";\n"
      << "server { listen 127.0.0.1:" << port << "; location / { return 200 \"by $pid\"; } } }\n";
  run_clean([&]() -> task<> {
    load_result result;
    co_await brood::with_supervisor(strategy::one_for_one, [&](supervisor& s) -> task<> {
      // It takes over sockets that NGINX names, as it does from an older one of itself; SIGQUIT lets it finish what it has begun.
      auto nginx = co_await s
                       .run(command("/usr/sbin/nginx", "-c", (place.path / "nginx.conf").string(), "-e",
                                    (place.path / "error.log").string())
                                .env("NGINX", "3;")
                                .stderr_(brood::null)
                                .stop_signal(SIGQUIT))
                       .stop_within(10s)
                       .listen("tcp:127.0.0.1:" + std::to_string(port));
      bool done = false;
      co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
        for (int i = 0; i < 4; ++i) n.start(load(nginx.address(), result, [&] { return done; }));
        for (int i = 0; i < 3; ++i) {
          const int so_far = result.answered;
          while (result.answered < so_far + 20) co_await brood::sleep_for(1ms);
          const std::string old = result.last;
          co_await nginx.reload();
          while (result.last == old) co_await brood::sleep_for(1ms);
        }
        done = true;
      });
    });
    CHECK(result.refused == 0);
    CHECK(result.cut_off == 0);
    CHECK_THAT(result.last, contains_text("by "));
  });
}
