// A process that the application forks by itself: it holds nothing, uses nothing and harms nothing of its parent.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "brood/arena/arena.hpp"
#include "brood/channel/queue.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "brood/sync/barrier.hpp"
#include "brood/sync/condition.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/lock.hpp"
#include "brood/sync/rlock.hpp"
#include "brood/sync/semaphore.hpp"
#include "catch.hpp"
#include "run_balanced.hpp"

using namespace std::chrono_literals;
using brood::forked_process;
using brood::task;

namespace {

// Filled by tests, so that the `exit` of a fork destroys what is in them.
std::optional<brood::queue<int>> static_queue;
std::optional<brood::lock_guard> static_guard;
std::optional<brood::process<int>> static_child;

constexpr int threw = 101;
constexpr unsigned patience = 20;  // s, after which a fork that hangs is ended by SIGALRM

int status_of(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Exit code of a fork that runs `body`, or minus the signal.
int in_fork(const std::function<void()>& body) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(patience);
    try {
      body();
      _exit(0);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "in a fork: %s\n", e.what());
      _exit(threw);
    }
  }
  return status_of(pid);
}

template <class F>
bool refuses(F use) {
  try {
    use();
  } catch (const forked_process&) {
    return true;
  }
  return false;
}

/// Each use that is not refused with `forked_process` is named on standard error.
void require_refused(const char* what, const std::function<void()>& use) {
  if (refuses(use)) return;
  std::fprintf(stderr, "in a fork: %s was not refused\n", what);
  _exit(threw);
}

task<int> take_one(brood::queue<int> from) {
  const int value = co_await from.get();
  co_return value;
}

task<> hold(brood::lock what, brood::queue<int> held, brood::queue<int> end) {
  const auto guard = co_await what.acquire();
  co_await held.put(1);
  co_await end.get();
}

int seven() { return 7; }

}  // namespace

TEST_CASE("a guard, a permit and a lease in a fork are its parent's, whatever happens to them there") {
  run_balanced([]() -> task<> {
    const brood::lock lock;
    const brood::rlock rlock;
    const brood::semaphore semaphore(1);
    const brood::queue<int> q(4);
    co_await q.put(5);
    auto guard = co_await lock.acquire();
    auto rguard = co_await rlock.acquire();
    auto permit = co_await semaphore.acquire();
    auto lease = co_await q.get_leased();
    const int code = in_fork([&] {
      if (guard || rguard || permit) _exit(1);
      {
        auto moved = std::move(guard);
      }
      {
        auto moved = std::move(rguard);
      }
      {
        auto moved = std::move(permit);
      }
      {
        auto moved = std::move(lease);
      }
    });
    CHECK(code == 0);
    CHECK(guard);
    CHECK(lock.locked());
    CHECK(rlock.locked());
    CHECK(semaphore.value() == 0);
    CHECK(q.size() == 0);
    lease.done();
  });
}

TEST_CASE("a fork can use nothing of the family, and is told why") {
  run_balanced([]() -> task<> {
    const brood::queue<int> q(4);
    const brood::queue<std::string> texts(4);
    const brood::lock lock;
    const brood::rlock rlock;
    const brood::semaphore semaphore(1);
    const brood::event event;
    const brood::condition condition;
    const brood::barrier barrier(2);
    const brood::queue<int> unnamed;
    const brood::queue<int> arguments(1);
    auto child = co_await brood::spawn<take_one>(arguments);
    brood::runtime& loop = brood::runtime::current();
    co_await q.put(1);
    co_await texts.put(std::string(1000, 'x'));
    const int code = in_fork([&] {
      require_refused("queue::try_put", [&] { q.try_put(2); });
      require_refused("queue::try_get", [&] { static_cast<void>(q.try_get()); });
      require_refused("a large try_get", [&] { static_cast<void>(texts.try_get()); });
      require_refused("a large try_put", [&] { texts.try_put(std::string(1000, 'y')); });
      require_refused("queue::size", [&] { static_cast<void>(q.size()); });
      require_refused("queue::close", [&] { q.close(); });
      require_refused("lock::try_acquire", [&] { static_cast<void>(lock.try_acquire()); });
      require_refused("rlock::try_acquire", [&] { static_cast<void>(rlock.try_acquire()); });
      require_refused("semaphore::release", [&] { semaphore.release(); });
      require_refused("event::set", [&] { event.set(); });
      require_refused("condition::notify", [&] { condition.notify(); });
      require_refused("barrier::abort", [&] { barrier.abort(); });
      require_refused("a new queue", [&] { static_cast<void>(brood::queue<int>(3)); });
      require_refused("the first use of a queue", [&] { unnamed.try_put(1); });
      require_refused("a copy of a handle", [&] { const brood::lock copy(lock); });
      require_refused("process::kill", [&] { child.kill(); });
      require_refused("process::kill_tree", [&] { child.kill_tree(); });
      require_refused("runtime::post", [&] { loop.post([] {}); });
      require_refused("runtime::start", [&] { loop.start(brood::sleep_for(1ms)); });
      require_refused("runtime::run", [&] { loop.run(); });
      require_refused("runtime::current", [&] { brood::runtime::current(); });
      // It may have a loop of its own, on which nothing of the family can be awaited.
      brood::sync_wait(brood::sleep_for(1ms));
      require_refused("queue::get", [&] { brood::sync_wait(q.get()); });
      require_refused("lock::acquire", [&] { brood::sync_wait(lock.acquire()); });
      require_refused("spawn", [&] { brood::sync_wait(brood::spawn<seven>()); });
      require_refused("command", [&] { brood::sync_wait(brood::command("true").output()); });
    });
    CHECK(code == 0);
    CHECK(q.size() == 1);
    CHECK(texts.size() == 1);
    CHECK(semaphore.value() == 1);
    CHECK_FALSE(event.is_set());
    CHECK_FALSE(q.is_closed());
    CHECK_FALSE(lock.locked());
    co_await arguments.put(3);
    const int result = co_await child.result();
    CHECK(result == 3);
    co_await q.get();
    co_await texts.get();
  });
}

TEST_CASE("a fork that is killed in the middle of its attempts blocks nobody") {
  run_balanced([]() -> task<> {
    const brood::queue<int> q(4);
    const brood::lock lock;
    std::array<int, 2> begun{};
    REQUIRE(pipe(begun.data()) == 0);
    for (int round = 0; round < 20; ++round) {
      std::fflush(nullptr);
      const pid_t pid = fork();
      if (pid == 0) {
        alarm(patience);
        for (bool first = true;; first = false) {
          static_cast<void>(refuses([&] { q.try_put(1); }));
          static_cast<void>(refuses([&] { static_cast<void>(lock.try_acquire()); }));
          if (first && write(begun[1], "", 1) != 1) _exit(threw);
        }
      }
      char byte = 0;
      REQUIRE(read(begun[0], &byte, 1) == 1);
      kill(pid, SIGKILL);
      CHECK(status_of(pid) == -SIGKILL);
      q.try_put(2);
      CHECK(q.try_get() == 2);
      CHECK(lock.try_acquire().has_value());
    }
    close(begun[0]);
    close(begun[1]);
    co_return;
  });
}

TEST_CASE("the exit of a fork made in a coroutine takes nothing from its parent") {
  run_balanced([]() -> task<> {
    static_queue.emplace(4);
    const brood::lock lock;
    static_guard.emplace(co_await lock.acquire());
    const brood::queue<int> arguments(1);
    static_child.emplace(co_await brood::spawn<take_one>(arguments));
    const int code = in_fork([] { std::exit(3); });
    CHECK(code == 3);
    CHECK(lock.locked());
    co_await static_queue->put(1);
    CHECK(static_queue->size() == 1);
    co_await arguments.put(8);  // its wake and its result come to this loop
    const int result = co_await static_child->result();
    CHECK(result == 8);
    static_guard.reset();
    static_child.reset();
    static_queue.reset();
  });
}

TEST_CASE(
    "a coroutine that waits for a child hears of it although it forked and the fork has ended by exit") {
  for (int round = 0; round < 5; ++round) {
    run_balanced([]() -> task<> {
      auto child = co_await brood::spawn<seven>();
      const int code = in_fork([] { std::exit(0); });
      CHECK(code == 0);
      const int result = co_await child.result();
      CHECK(result == 7);
      auto output = co_await brood::command("echo", "heard").output();
      CHECK(output.out == "heard\n");
    });
  }
}

TEST_CASE("the exit of a fork does not wait for the loop that sync_wait made in its parent") {
  const pid_t host = fork();
  if (host == 0) {
    // A new process, so that this thread has such a loop and no other.
    alarm(patience);
    brood::sync_wait(brood::sleep_for(1ms));
    const int code = in_fork([] { std::exit(4); });
    brood::sync_wait(brood::sleep_for(1ms));
    _exit(code == 4 ? 0 : 1);
  }
  CHECK(status_of(host) == 0);
}

TEST_CASE("a fork that leaves the scope of its parent's runtime does nothing to it") {
  const leftovers before = leftovers::now();
  {
    brood::runtime loop;
    bool ran = false;
    loop.post([&] { ran = true; });
    std::fflush(nullptr);
    const pid_t pid = fork();
    if (pid == 0) {
      alarm(patience);
      loop.~runtime();
      _exit(0);
    }
    CHECK(status_of(pid) == 0);
    loop.run_until_complete(brood::sleep_for(1ms));
    CHECK(ran);
  }
  CHECK(leftovers::now() == before);
}

TEST_CASE("a fork that returns to the loop in a coroutine ends there, and its parent goes on") {
  run_balanced([]() -> task<> {
    const brood::queue<int> q(4);
    const brood::queue<int> arguments(1);
    auto child = co_await brood::spawn<take_one>(arguments);
    std::fflush(nullptr);
    const pid_t pid = fork();
    if (pid == 0) alarm(patience);
    if (pid == 0) co_return;  // the fork's copy; what awaits it goes on there, and then the loop is reached
    CHECK(status_of(pid) == 1);
    co_await arguments.put(2);
    const int result = co_await child.result();
    CHECK(result == 2);
  });
}

TEST_CASE(
    "a fork that awaits something in a coroutine is refused, and what it unwinds is its parent's still") {
  run_balanced([]() -> task<> {
    const brood::queue<int> q(4);
    const brood::lock lock;
    std::fflush(nullptr);
    pid_t pid = 0;
    {
      const auto guard = co_await lock.acquire();
      pid = fork();
      if (pid == 0) {
        alarm(patience);
        co_await q.get();
        _exit(threw);
      }
    }
    CHECK(status_of(pid) == 1);
    CHECK_FALSE(lock.locked());
    CHECK(q.waiting_consumers() == 0);
  });
}

TEST_CASE("a fork unwinds a nursery without ending its parent's children") {
  run_balanced([]() -> task<> {
    const brood::queue<int> arguments(1);
    pid_t pid = 0;
    int result = 0;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      const brood::queue<int> passed(arguments);
      auto child = co_await n.spawn<take_one>(passed);
      std::fflush(nullptr);
      pid = fork();
      if (pid == 0) {
        alarm(patience);
        throw std::runtime_error("out of the nursery");
      }
      CHECK(status_of(pid) == 1);
      co_await passed.put(6);
      result = co_await child.result();
    });
    CHECK(result == 6);
  });
}

TEST_CASE("a fork while others wait disturbs nobody's turn") {
  run_balanced([]() -> task<> {
    const brood::lock lock;
    const brood::queue<int> held(1);
    const brood::queue<int> end(1);
    auto holder = co_await brood::spawn<hold>(lock, held, end);
    co_await held.get();
    bool waited = false;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](const brood::lock& wanted, bool& done) -> task<> {
        const auto guard = co_await wanted.acquire();
        done = true;
      }(lock, waited));
      while (lock.waiting() == 0) co_await brood::yield();
      const int code = in_fork([] { std::exit(0); });
      CHECK(code == 0);
      CHECK(lock.waiting() == 1);
      co_await end.put(1);
    });
    CHECK(waited);
    co_await holder.join();
  });
}

TEST_CASE("a fork made by another thread than the loop's harms nothing") {
  run_balanced([]() -> task<> {
    const brood::queue<int> q(4);
    const brood::queue<int> arguments(1);
    auto child = co_await brood::spawn<take_one>(arguments);
    int code = 0;
    std::thread([&] {
      code = in_fork([&] {
        require_refused("queue::try_put", [&] { q.try_put(1); });
        std::exit(5);
      });
    }).join();
    CHECK(code == 5);
    CHECK(q.empty());
    co_await arguments.put(4);
    const int result = co_await child.result();
    CHECK(result == 4);
  });
}

TEST_CASE("a fork of a fork is refused too") {
  const brood::queue<int> q(4);
  const int code = in_fork([&] {
    const int inner = in_fork([&] { require_refused("queue::try_put", [&] { q.try_put(1); }); });
    require_refused("queue::size", [&] { static_cast<void>(q.size()); });
    _exit(inner);
  });
  CHECK(code == 0);
}

TEST_CASE("system, popen, posix_spawn and a fork with exec work as ever") {
  run_balanced([]() -> task<> {
    CHECK(std::system("exit 3") == 3 << 8);
    FILE* const pipe = popen("echo said", "r");
    REQUIRE(pipe != nullptr);
    std::array<char, 16> text{};
    CHECK(std::fgets(text.data(), text.size(), pipe) != nullptr);
    CHECK(std::string(text.data()) == "said\n");
    CHECK(pclose(pipe) == 0);
    std::string program = "sh";
    std::string flag = "-c";
    std::string script = "exit 4";
    std::array<char*, 4> arguments{program.data(), flag.data(), script.data(), nullptr};
    pid_t pid = 0;
    REQUIRE(posix_spawnp(&pid, "sh", nullptr, nullptr, arguments.data(), environ) == 0);
    CHECK(status_of(pid) == 4);
    CHECK(in_fork([&] { execvp("sh", arguments.data()); }) == 4);
    const auto output = co_await brood::command("echo", "after").output();
    CHECK(output.out == "after\n");
  });
}

TEST_CASE("a fork on a host's loop leaves that to the host") {
  uv_loop_t loop;
  REQUIRE(uv_loop_init(&loop) == 0);
  {
    brood::runtime on_host(&loop);
    pid_t pid = 0;
    bool forked = false;
    on_host.start([](pid_t& made, bool& is_fork) -> task<> {
      std::fflush(nullptr);
      made = fork();
      is_fork = made == 0;
      co_return;
    }(pid, forked));
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0 && !forked) {
    }
    if (forked) _exit(9);
    CHECK(status_of(pid) == 9);
    on_host.run_until_complete(brood::sleep_for(1ms));
  }
  CHECK(uv_loop_close(&loop) == 0);
}
