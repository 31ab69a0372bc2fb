// The death of the fork server: children go on, the next spawn starts it again.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "bodies.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "preload.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

namespace {

int square(int x) { return x * x; }
int wait_and_square(int x) {
  wait_for_end_of_input();
  return x * x;
}
void wait_and_exit(int code) {
  wait_for_end_of_input();
  brood::exit(code);
}
std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
}
std::string directory() { return std::filesystem::current_path().string(); }
int preloaded() { return preloaded_value; }
bool has_key(std::vector<std::byte> key) {
  const auto own = brood::current_process().authkey();
  return key == std::vector<std::byte>(own.begin(), own.end());
}
bool is_blocked(int signal) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

/// The parent of a relayed child is its server.
void kill_parent_and_wait() {
  kill(getppid(), SIGKILL);
  wait_for_ever();
}

/// Kills the server of now and waits until it is dead, though not reaped.
void kill_server() {
  const pid_t server = brood::fork_server_pid();
  if (server == 0) return;  // dead already, and not replaced
  siginfo_t info{};
  kill(server, SIGKILL);
  waitid(P_PID, static_cast<id_t>(server), &info, WEXITED | WNOWAIT | __WALL);
}

brood::task<> expect_square(int x) {
  auto child = co_await brood::spawn<square>(x);
  const auto child_result = co_await child.result();
  CHECK(child_result == x * x);
}

}  // namespace

TEST_CASE("a server that is killed while idle is started again by the next spawn") {
  run_clean([]() -> brood::task<> {
    co_await expect_square(3);
    const pid_t first = brood::fork_server_pid();
    kill_server();
    co_await expect_square(4);
    CHECK(brood::fork_server_pid() != first);
    kill_server();
    const auto program = co_await brood::command("echo", "on").output();
    CHECK(program.out == "on\n");
  });
}

TEST_CASE("a server that is killed before the runtime begins is started again") {
  kill_server();
  run_clean([]() -> brood::task<> { co_await expect_square(5); });
}

TEST_CASE("a server that is killed at the end leaves nothing to reap") {
  for (int i = 0; i < 5; ++i) {
    run_clean([]() -> brood::task<> {
      co_await expect_square(5);
      kill_server();
      co_await expect_square(6);
    });
  }
}

TEST_CASE("SIGINT and SIGTERM do not end the server") {
  run_clean([]() -> brood::task<> {
    const pid_t first = brood::fork_server_pid();
    if (first == 0) co_return;
    kill(first, SIGINT);
    kill(first, SIGTERM);
    kill(first, SIGHUP);
    co_await expect_square(7);
    CHECK(brood::fork_server_pid() == first);
  });
}

TEST_CASE("running children finish with their true statuses") {
  if (!children_are_siblings_of_the_server()) return;  // they die with it; see the next test
  run_clean([]() -> brood::task<> {
    auto value = co_await brood::spawn<wait_and_square>(6).stdin_(brood::piped);
    auto code = co_await brood::spawn<wait_and_exit>(9).stdin_(brood::piped);
    auto killed = co_await brood::spawn<wait_for_ever>();
    auto program = co_await brood::command("sh", "-c", "read x; exit 4").stdin_(brood::piped).spawn();
    kill_server();
    co_await expect_square(8);
    CHECK(value.is_alive());
    value.stdin_().close();
    code.stdin_().close();
    program.stdin_().close();
    killed.terminate();
    const auto value_result = co_await value.result();
    CHECK(value_result == 36);
    const auto code_status = co_await code.join();
    CHECK(code_status.exitcode == 9);
    const auto program_status = co_await program.join();
    CHECK(program_status.exitcode == 4);
    const auto killed_status = co_await killed.join();
    CHECK(killed_status.exitcode == -SIGTERM);
  });
}

TEST_CASE("relayed children die with the server, and are known to") {
  if (children_are_siblings_of_the_server()) return;
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<wait_for_ever>();
    kill_server();
    const auto status = co_await child.join();
    CHECK_FALSE(status.success());
    CHECK((status.exitcode == -SIGKILL || !status.known));
    CHECK_THROWS_AS(co_await child.result(), brood::child_died);
    co_await expect_square(8);
  });
}

TEST_CASE("a relayed child whose server died before it answered is known to die with it") {
  if (children_are_siblings_of_the_server()) return;
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < many(20); ++i) {
      auto child = co_await brood::spawn<kill_parent_and_wait>();
      const auto status = co_await child.join();
      CHECK_FALSE(status.success());
    }
  });
}

TEST_CASE("a server that is killed in the middle of a storm costs no spawn") {
  if (!children_are_siblings_of_the_server()) return;
  run_clean([]() -> brood::task<> {
    std::vector<brood::task<>> spawns;
    for (int i = 0; i < many(1000); ++i) spawns.push_back(expect_square(i));
    auto killer = []() -> brood::task<> {
      for (int i = 0; i < 20; ++i) {
        kill_server();
        // Some spawns later, so that each new server has had work: three in a row without any are given up.
        co_await expect_square(i);
      }
    };
    co_await brood::when_all(brood::when_all(std::move(spawns)), killer());
  });
}

TEST_CASE("a server that is killed while programs start costs none of them") {
  if (!children_are_siblings_of_the_server()) return;
  run_clean([]() -> brood::task<> {
    auto program = [](int i) -> brood::task<> {
      const auto result = co_await brood::command("echo", std::to_string(i)).output();
      CHECK(result.out == std::to_string(i) + "\n");
      CHECK_THROWS_AS(co_await brood::command("/no/such/program").status(), std::system_error);
    };
    std::vector<brood::task<>> programs;
    for (int i = 0; i < (sanitized ? 20 : 100); ++i) programs.push_back(program(i));
    auto killer = []() -> brood::task<> {
      for (int i = 0; i < 10; ++i) {
        kill_server();
        co_await expect_square(i);
      }
    };
    co_await brood::when_all(brood::when_all(std::move(programs)), killer());
  });
}

TEST_CASE("programs are shared with the heir, and its death costs none of them") {
  if (!children_are_siblings_of_the_server()) return;
  run_clean([]() -> brood::task<> {
    co_await expect_square(1);
    auto program = [](int i) -> brood::task<> {
      const auto result = co_await brood::command("echo", std::to_string(i)).output();
      CHECK(result.out == std::to_string(i) + "\n");
      CHECK_THROWS_AS(co_await brood::command("/no/such/program").status(), std::system_error);
    };
    std::vector<brood::task<>> programs;
    for (int i = 0; i < (sanitized ? 20 : 200); ++i) programs.push_back(program(i));
    auto killer = []() -> brood::task<> {
      for (int i = 0; i < 10; ++i) {
        for (const pid_t server : brood::detail::fork_servers().pids) {
          if (server != brood::fork_server_pid()) kill(server, SIGKILL);
        }
        co_await expect_square(i);
      }
      for (int i = 0; i < 3; ++i) {
        for (const pid_t server : brood::detail::fork_servers().pids) kill(server, SIGKILL);  // both
        co_await expect_square(i);
      }
    };
    co_await brood::when_all(brood::when_all(std::move(programs)), killer());
  });
}

TEST_CASE("a server that is killed again while it starts is started again") {
  for (int i = 0; i < 20; ++i) {
    run_clean([]() -> brood::task<> {
      std::vector<brood::task<>> spawns;
      kill_server();
      for (int j = 0; j < 3; ++j) spawns.push_back(expect_square(j));
      auto killer = []() -> brood::task<> {
        // Without waiting for it to serve.
        co_await brood::yield();
        kill_server();
      };
      co_await brood::when_all(brood::when_all(std::move(spawns)), killer());
    });
  }
}

TEST_CASE("a server that is stopped and then killed loses no request") {
  run_clean([]() -> brood::task<> {
    const pid_t server = brood::fork_server_pid();
    if (server == 0) co_return;
    kill(server, SIGSTOP);
    std::vector<brood::task<>> spawns;
    for (int i = 0; i < 50; ++i) spawns.push_back(expect_square(i));
    auto killer = []() -> brood::task<> {
      co_await brood::yield();
      kill_server();
    };
    co_await brood::when_all(brood::when_all(std::move(spawns)), killer());
  });
}

TEST_CASE("a spawn that is cancelled while the server is dead leaves no child") {
  run_clean([]() -> brood::task<> {
    for (int moment = 0; moment < 10; ++moment) {
      kill_server();
      auto body = [&](brood::nursery& n) -> brood::task<> {
        n.start([]() -> brood::task<> { static_cast<void>(co_await brood::spawn<wait_for_ever>()); }());
        for (int i = 0; i < moment; ++i) co_await brood::yield();
        n.cancel();
      };
      co_await brood::with_nursery(body);
      CHECK(brood::active_children().empty());
    }
    for (int i = 0; i < 2; ++i) co_await expect_square(i);  // a server again, then its heir
  });
}

TEST_CASE("children of a server that was started again live in the same world") {
  const std::string before = directory();
  run_clean([&]() -> brood::task<> {
    const auto own_key = brood::current_process().authkey();
    const std::vector<std::byte> key(own_key.begin(), own_key.end());
    const auto limit_before = co_await brood::command("sh", "-c", "ulimit -n").output();
    setenv("BROOD_WORLD", "at restart", 1);
    std::filesystem::current_path("/usr");
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, nullptr);
    kill_server();
    auto same_key = co_await brood::spawn<has_key>(key);
    const auto same_key_result = co_await same_key.result();
    CHECK(same_key_result);
    auto there = co_await brood::spawn<directory>();
    const auto there_result = co_await there.result();
    CHECK(there_result == "/usr");
    // The mask is the one of init, not the one that this thread has at the moment.
    auto mask = co_await brood::spawn<is_blocked>(int{SIGUSR1});
    const auto mask_result = co_await mask.result();
    CHECK_FALSE(mask_result);
    sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
    // Back to what it was: the new server has to be told, as it has the changes.
    unsetenv("BROOD_WORLD");
    std::filesystem::current_path(before);
    auto back = co_await brood::spawn<directory>();
    const auto back_result = co_await back.result();
    CHECK(back_result == before);
    auto gone = co_await brood::spawn<variable>("BROOD_WORLD");
    const auto gone_result = co_await gone.result();
    CHECK(gone_result == std::nullopt);
    if (!every_child_is_a_fresh_image()) {
      auto loaded = co_await brood::spawn<preloaded>();
      const auto loaded_result = co_await loaded.result();
      CHECK(loaded_result == 42);
    }
    const auto limit_after = co_await brood::command("sh", "-c", "ulimit -n").output();
    CHECK(limit_after.out == limit_before.out);
  });
}

TEST_CASE("a spawn at a stopped server is given up in time, and what the server makes later is killed") {
  run_clean([]() -> brood::task<> {
    co_await expect_square(1);
    const pid_t server = brood::fork_server_pid();
    kill(server, SIGSTOP);
    auto spawn = []() -> brood::task<> { static_cast<void>(co_await brood::spawn<wait_for_ever>()); };
    CHECK_THROWS_AS(co_await brood::with_timeout(std::chrono::milliseconds(50), spawn()), brood::timed_out);
    kill(server, SIGCONT);
    co_await expect_square(2);
    CHECK(brood::fork_server_pid() == server);
  });
}

TEST_CASE("a runtime ends although its server is stopped, and the next one has another") {
  run_clean([]() -> brood::task<> {
    co_await expect_square(1);
    for (const pid_t server : brood::detail::fork_servers().pids) kill(server, SIGSTOP);
    auto spawn = []() -> brood::task<> { static_cast<void>(co_await brood::spawn<wait_for_ever>()); };
    CHECK_THROWS_AS(co_await brood::with_timeout(std::chrono::milliseconds(50), spawn()), brood::timed_out);
  });
  for (const pid_t server : brood::detail::fork_servers().pids) kill(server, SIGCONT);
  run_clean([]() -> brood::task<> { co_await expect_square(3); });
}

TEST_CASE("runtimes that end before the heir has come leave no second one") {
  for (int i = 0; i < 3; ++i) {
    kill_server();
    for (int j = 0; j < 3; ++j) {
      brood::runtime loop;
      CHECK_THROWS_AS(loop.run_until_complete([]() -> brood::task<> {
        static_cast<void>(co_await brood::command("").status());
      }()),
                      std::system_error);
    }
  }
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < 3; ++i) co_await expect_square(i);
  });
  CHECK(leftovers::now().children.empty());
}
