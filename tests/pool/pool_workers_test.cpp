// The workers of a pool: how many, their initializer, how long they live.
#include <csignal>
#include <map>
#include <set>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "pools.hpp"

using namespace std::chrono_literals;
using namespace pools;

namespace {

int prepared = 0;
void prepare(int value) { prepared = value; }
brood::task<> prepare_from(brood::queue<int> from) { prepared = co_await from.get(); }
int add_prepared(int x) { return x + prepared; }
void refuse() { throw std::runtime_error("no database"); }
void die_at_start(brood::queue<int> tries) {
  brood::sync_wait(tries.put(1));
  raise(SIGKILL);
}
void die_at_first_tries(brood::queue<int> tries) {
  if (brood::sync_wait(tries.next())) raise(SIGKILL);
}
void refuse_third(brood::queue<int> tickets) {
  if (!tickets.try_get()) throw std::runtime_error("no ticket");
}

}  // namespace

TEST_CASE("a pool without workers is refused") {
  CHECK_THROWS_AS(brood::pool::open(0), std::invalid_argument);
  CHECK_THROWS_AS(brood::pool::open(-1), std::invalid_argument);
  CHECK_THROWS_AS(brood::pool::open(1).max_tasks_per_worker(0), std::invalid_argument);
  CHECK_THROWS_AS(brood::pool::open(1).max_tasks_per_worker(-1), std::invalid_argument);
  CHECK_THROWS_AS(brood::pool::open(1).min(-1), std::invalid_argument);
}

TEST_CASE("more workers than tasks and processors are fine") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(many(50));
    const auto square_results = co_await pool.map<square>(numbers(10));
    CHECK(square_results == squares(10));
    co_await pool.close();
  });
}

TEST_CASE("the initializer runs in each worker before its first task") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(3).initializer<prepare>(1000);
    for (int i = 0; i < 20; ++i) {
      const auto add_prepared_result = co_await pool.apply<add_prepared>(i);
      CHECK(add_prepared_result == 1000 + i);
    }
    CHECK(prepared == 0);
    co_await pool.close();
    brood::queue<int> from;
    for (int i = 0; i < 3; ++i) co_await from.put(7);
    auto later = co_await brood::pool::open(3).initializer<prepare_from>(from);
    const auto add_prepared_result = co_await later.apply<add_prepared>(1);
    CHECK(add_prepared_result == 8);
    co_await later.close();
  });
}

TEST_CASE("an initializer that throws fails open, and no worker is left") {
  run_balanced([]() -> brood::task<> {
    std::string said;
    try {
      static_cast<void>(co_await brood::pool::open(4).initializer<refuse>());
    } catch (const brood::remote_error& e) {
      said = e.what();
    }
    CHECK_THAT(said, contains_text("no database"));
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("if one of four workers cannot start, the other three are stopped") {
  run_balanced([]() -> brood::task<> {
    brood::queue<int> tickets;
    for (int i = 0; i < 3; ++i) co_await tickets.put(i);
    const auto threw_remote_error =
        co_await throws<brood::remote_error>(brood::pool::open(4).initializer<refuse_third>(tickets));
    CHECK(threw_remote_error);
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a worker that dies while it starts is tried again, but not for ever") {
  run_balanced([]() -> brood::task<> {
    brood::queue<int> tries;
    std::string said;
    try {
      static_cast<void>(co_await brood::pool::open(1).initializer<die_at_start>(tries));
    } catch (const brood::error& e) {
      said = e.what();
    }
    CHECK_THAT(said, contains_text("5 workers in a row ended before they were ready"));
    CHECK_THAT(said, contains_text("SIGKILL"));
    CHECK(tries.size() == 5);
    brood::queue<int> deaths;
    for (int i = 0; i < 3; ++i) co_await deaths.put(i);
    deaths.close();
    auto pool = co_await brood::pool::open(1).initializer<die_at_first_tries>(deaths);
    const auto square_result = co_await pool.apply<square>(3);
    CHECK(square_result == 9);
    CHECK(pool.stats().workers_started == 4);
    co_await pool.close();
  });
}

TEST_CASE("a cancelled open leaves no worker behind") {
  run_balanced([]() -> brood::task<> {
    brood::queue<int> never;
    const auto threw_timed_out = co_await throws<brood::timed_out>(
        brood::with_timeout(30ms, brood::pool::open(2).initializer<prepare_from>(never)));
    CHECK(threw_timed_out);
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a worker runs no more tasks than it may") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(3).max_tasks_per_worker(10);
    for (const std::uint64_t chunk : {1u, 4u, 30u}) {
      std::map<int, int> tasks_of;
      for (const int pid : co_await pool.map<pid_of_worker>(numbers(100)).chunk(chunk)) ++tasks_of[pid];
      CHECK(tasks_of.size() >= 10);
      for (const auto& [pid, tasks] : tasks_of) CHECK(tasks <= 10);
    }
    const auto square_results = co_await pool.map<square>(numbers(500)).chunk(1);
    CHECK(square_results == squares(500));
    CHECK(pool.stats().workers_died == 0);
    co_await pool.close();
  });
}

TEST_CASE("idle workers end, and new ones start with work") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(4).idle_timeout(30ms).min(1);
    CHECK(pool.stats().workers == 1);
    brood::queue<int> gate;
    constexpr auto wait = [](brood::queue<int> q) { return brood::sync_wait(q.get()); };
    std::vector<brood::future<int>> waiting;
    for (int i = 0; i < 4; ++i) waiting.push_back(pool.submit<wait>(gate));
    while (gate.waiting_consumers() < 4) co_await brood::sleep_for(1ms);
    CHECK(pool.stats().workers == 4);
    CHECK(pool.stats().busy == 4);
    for (int i = 0; i < 4; ++i) co_await gate.put(i);
    for (auto& each : waiting) co_await each;
    while (pool.stats().workers > 1) co_await brood::sleep_for(1ms);
    const auto square_results = co_await pool.map<square>(numbers(1000)).chunk(1);
    CHECK(square_results == squares(1000));
    CHECK(pool.stats().workers_died == 0);
    co_await pool.close();
  });
}

TEST_CASE("without a minimum the last worker may go, and the next task starts one") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2).idle_timeout(10ms).min(0);
    CHECK(pool.stats().workers == 0);
    for (int i = 0; i < 3; ++i) {
      const auto square_result = co_await pool.apply<square>(i);
      CHECK(square_result == i * i);
      while (pool.stats().workers != 0) co_await brood::sleep_for(1ms);
    }
    CHECK(pool.stats().workers_started == 3);
    co_await pool.close();
  });
}

TEST_CASE("idle workers are reused") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(4);
    std::set<int> pids;
    for (int i = 0; i < 100; ++i) pids.insert(co_await pool.apply<pid_of_worker>(i));
    CHECK(pids.size() <= 4);
    CHECK(pool.stats().workers_started == 4);
    co_await pool.close();
  });
}

TEST_CASE("what a slow worker has not begun is done by others") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    co_await pool.map<square>(numbers(20'000)).chunk(1);  // lanes are deep now
    brood::queue<int> gate;
    std::vector<std::tuple<brood::queue<int>, int>> calls;
    for (int i = 0; i < 200; ++i) calls.emplace_back(gate, i);
    auto stream = pool.imap_unordered<[](std::tuple<brood::queue<int>, int> call) {
      if (std::get<1>(call) == 0) brood::sync_wait(std::get<0>(call).get());
      return std::get<1>(call);
    }>(calls);
    for (int i = 0; i < 199; ++i) {
      const auto item = co_await stream.next();
      CHECK(*item != 0);
    }
    co_await gate.put(1);
    const auto item = co_await stream.next();
    CHECK(*item == 0);
    const auto next_item = co_await stream.next();
    CHECK_FALSE(next_item.has_value());
    CHECK(pool.stats().tasks_stolen > 0);
    co_await pool.close();
  });
}
