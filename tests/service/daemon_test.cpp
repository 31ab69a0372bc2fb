// Daemons of Debian's, as they are.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "brood/service/with_supervisor.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

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
