// Tasks that are asked to end: those that heed it keep their worker, those that do not cost it.
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/current.hpp"
#include "pools.hpp"

using namespace std::chrono_literals;
using brood::pool;
using brood::task;

namespace {

int own_pid() { return getpid(); }

task<int> sleep_long(brood::queue<int> begun) {
  co_await begun.put(getpid());
  co_await brood::sleep_for(1h);
  co_return 0;
}
int look(brood::queue<int> begun) {
  begun.try_put(getpid());
  while (!brood::this_process().stop_requested()) std::this_thread::sleep_for(1ms);
  return 7;
}
int ignore(brood::queue<int> begun) {
  begun.try_put(getpid());
  for (;;) std::this_thread::sleep_for(1h);
}
[[noreturn]] int die(int) { _exit(3); }

template <class F>
task<bool> is_cancelled(F call) {
  try {
    static_cast<void>(co_await call);
  } catch (const brood::cancelled&) {
    co_return true;
  }
  co_return false;
}

}  // namespace

TEST_CASE("a cancelled call that heeds the request keeps its worker") {
  run_balanced([]() -> task<> {
    auto workers = co_await pool::open(1);
    brood::queue<int> begun(10);
    const int before = co_await workers.apply<own_pid>();
    for (int i = 0; i < 20; ++i) {
      auto call = i % 2 == 0 ? workers.submit<sleep_long>(begun) : workers.submit<look>(begun);
      const int pid = co_await begun.get();
      CHECK(pid == before);
      CHECK(call.cancel());
      const bool cancelled = co_await is_cancelled(call);
      CHECK(cancelled);
    }
    const int after = co_await workers.apply<own_pid>();
    CHECK(after == before);
    CHECK(workers.stats().workers_started == 1);
    co_await workers.close();
  });
}

TEST_CASE("a cancelled call that ignores the request costs its worker only") {
  run_balanced([]() -> task<> {
    auto workers = co_await pool::open(2);
    brood::queue<int> begun(10);
    auto other = workers.submit<look>(begun);
    const int of_other = co_await begun.get();
    auto call = workers.submit<ignore>(begun).stop_within(20ms);
    const int pid = co_await begun.get();
    call.cancel();
    int next = pid;
    while (next == pid) next = co_await workers.apply<own_pid>();
    CHECK(workers.stats().workers_started == 3);
    other.cancel();
    const auto pids = workers.worker_pids();
    const bool same = std::find(pids.begin(), pids.end(), of_other) != pids.end();
    CHECK(same);
    co_await workers.close();
  });
}

TEST_CASE("a soft deadline asks: timed_out and the same worker, or what the task gives all the same") {
  run_balanced([]() -> task<> {
    auto workers = co_await pool::open(1);
    brood::queue<int> begun(10);
    const int before = co_await workers.apply<own_pid>();
    CHECK_THROWS_AS(co_await workers.apply<sleep_long>(begun).soft_deadline(10ms), brood::timed_out);
    const int seven = co_await workers.apply<look>(begun).soft_deadline(10ms);
    CHECK(seven == 7);
    const int after = co_await workers.apply<own_pid>();
    CHECK(after == before);
    CHECK_THROWS_AS(co_await workers.apply<ignore>(begun).soft_deadline(10ms).deadline(50ms),
                    brood::child_died);
    co_await workers.close();
  });
}

TEST_CASE("a request that comes late asks nobody else") {
  run_balanced([]() -> task<> {
    auto workers = co_await pool::open(2);
    const int before = co_await workers.apply<own_pid>();
    static_cast<void>(before);
    for (int i = 0; i < 300; ++i) {
      auto call = workers.submit<own_pid>();
      if (i % 3 != 0) co_await brood::yield();
      call.cancel();
    }
    static_cast<void>(co_await workers.apply<own_pid>());
    CHECK(workers.stats().workers_died == 0);
    co_await workers.close();
  });
}

TEST_CASE("a worker's death says what it was doing, and why") {
  run_balanced([]() -> task<> {
    auto workers = co_await pool::open(1);
    bool died = false;
    try {
      const std::vector<int> numbers{1, 2, 3};
      static_cast<void>(co_await workers.map<die>(numbers).chunk(1));
    } catch (const brood::child_died& e) {
      died = true;
      CHECK_THAT(e.doing(), contains_text("item 0 of ") && contains_text("die"));
      CHECK(e.cause() == brood::death_cause::exited);
    }
    CHECK(died);
    co_await workers.close();
  });
}
