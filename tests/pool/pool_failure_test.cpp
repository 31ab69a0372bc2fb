// Workers that die: what that costs, and that nothing hangs.
#include <csignal>
#include <fstream>
#include <random>
#include <set>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "pools.hpp"

using namespace std::chrono_literals;
using namespace pools;

namespace {

/// Runs in a nursery: kills a random worker every so often, until cancelled. Never the same twice: killed
/// ones are replaced by others.
brood::task<> kill_workers(brood::pool pool, brood::clock::duration pause, int& killed) {
  std::mt19937 random(static_cast<unsigned>(getpid()) + static_cast<unsigned>(killed));
  for (;;) {
    co_await brood::sleep_for(pause);
    const auto pids = pool.worker_pids();
    if (!pids.empty() && kill(pids[random() % pids.size()], SIGKILL) == 0) ++killed;
  }
}

/// About five microseconds.
int square_with_work(int x) {
  volatile int waste = 0;
  for (int i = 0; i < 5000; ++i) waste = waste + i;
  return square(x);
}
std::string word_with_work(int x) {
  square_with_work(x);
  return std::string(static_cast<std::size_t>(x % 300), 'w');
}

/// Each item's number and worker goes to the queue before it is done.
int tell_and_square(const brood::queue<int>& told, int x) {
  brood::sync_wait(told.put(x));
  return square(x);
}

/// Dead, whether or not whoever inherited it has reaped it.
bool is_gone(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(status, text)) return true;
  return text.substr(text.rfind(')') + 2, 1) == "Z";
}

/// A worker with a child and a program of its own, all of whose pids are told; then it hangs.
brood::task<> hang_with_family(brood::queue<int> pids) {
  auto child = co_await brood::spawn<wait_for_ever>(0);
  auto program = co_await brood::command("sleep", "1000").spawn();
  co_await pids.put(getpid());
  co_await pids.put(child.pid());
  co_await pids.put(program.pid());
  co_await child.join();
}

}  // namespace

TEST_CASE("a killed worker's task fails with child_died, and the next call works") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    for (const int number : {SIGKILL, SIGABRT, SIGTERM}) {  // not SIGSEGV: sanitizers handle it
      try {
        co_await pool.apply<raise_signal>(number);
        FAIL("nothing was thrown");
      } catch (const brood::child_died& e) {
        CHECK(e.status().signal == number);
        CHECK_THAT(std::string(e.what()), contains_text("-worker-1"));
      }
      const auto square_result = co_await pool.apply<square>(3);
      CHECK(square_result == 9);
    }
    CHECK(pool.stats().workers_died == 3);
    co_await pool.close();
  });
}

TEST_CASE("a task that ends its worker by exit is lost, not done") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    constexpr auto leave = [](int code) -> int { brood::exit(code); };
    for (const int code : {0, 3}) {
      try {
        co_await pool.apply<leave>(code);
        FAIL("nothing was thrown");
      } catch (const brood::child_died& e) {
        CHECK(e.status().exitcode == code);
      }
    }
    const auto square_result = co_await pool.apply<square>(3);
    CHECK(square_result == 9);
    co_await pool.close();
  });
}

TEST_CASE("a worker's death costs the item it was at, and no other of its chunk") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    constexpr auto die_at_seven = [](int x) {
      if (x == 7) raise(SIGKILL);
      return square(x);
    };
    constexpr auto word_but_seven = [](int x) {
      if (x == 7) raise(SIGKILL);
      return std::string(static_cast<std::size_t>(x), 'x');
    };
    for (const std::uint64_t chunk : {1u, 5u, 20u}) {
      const auto all = co_await pool.map<die_at_seven>(numbers(20)).chunk(chunk).collect();
      for (int i = 0; i < 20; ++i) {
        const auto& each = all[static_cast<std::size_t>(i)];
        CHECK(each.has_value() == (i != 7));
        if (i != 7) CHECK(each.value() == square(i));
        if (i == 7) CHECK_THROWS_AS(each.value(), brood::child_died);
      }
      const auto words = co_await pool.map<word_but_seven>(numbers(20)).chunk(chunk).collect();
      for (int i = 0; i < 20; ++i) CHECK(words[static_cast<std::size_t>(i)].has_value() == (i != 7));
      const auto threw_child_died =
          co_await throws<brood::child_died>(pool.map<die_at_seven>(numbers(20)).chunk(chunk));
      CHECK(threw_child_died);
    }
    co_await pool.close();
  });
}

TEST_CASE("no item that was done is done again when its worker dies") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    brood::queue<int> told;
    constexpr auto tell_and_die = [](const brood::queue<int>& to, int x) {
      if (x == 5) raise(SIGKILL);
      return tell_and_square(to, x);
    };
    std::vector<std::tuple<brood::queue<int>, int>> calls;
    for (int i = 0; i < 10; ++i) calls.emplace_back(told, i);
    const auto all = co_await pool.starmap<tell_and_die>(calls).chunk(10).collect();
    CHECK_FALSE(all[5].has_value());
    std::multiset<int> seen;
    while (auto next = told.try_get()) seen.insert(*next);
    CHECK(seen == std::multiset<int>{0, 1, 2, 3, 4, 6, 7, 8, 9});
    co_await pool.close();
  });
}

TEST_CASE("retries try the lost item again, so often and no more") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    brood::queue<int> deaths;
    constexpr auto die_while_there_are = [](const brood::queue<int>& tickets, int x) {
      if (tickets.try_get()) raise(SIGKILL);
      return square(x);
    };
    const auto calls = [&](int count) {
      std::vector<std::tuple<brood::queue<int>, int>> all;
      for (int i = 0; i < count; ++i) all.emplace_back(deaths, i);
      return all;
    };
    for (int i = 0; i < 3; ++i) co_await deaths.put(i);
    const auto die_results = co_await pool.starmap<die_while_there_are>(calls(10)).chunk(4).retries(3);
    CHECK(die_results == squares(10));
    CHECK(pool.stats().items_retried == 3);
    for (int i = 0; i < 3; ++i) co_await deaths.put(i);
    const auto threw_child_died =
        co_await throws<brood::child_died>(pool.apply<die_while_there_are>(deaths, 1).retries(2));
    CHECK(threw_child_died);
    CHECK(deaths.empty());
    co_await deaths.put(1);
    auto f = pool.submit<die_while_there_are>(deaths, 4).retries(1);
    const auto f_result = co_await f;
    CHECK(f_result == 16);
    co_await pool.close();
  });
}

TEST_CASE(
    "two hundred thousand tasks while a worker is killed every 50 ms equal the serial result, twenty times") {
  const int tasks = many(200'000);
  run_clean([tasks]() -> brood::task<> {
    auto pool = co_await brood::pool::open(4);
    const auto items = numbers(tasks);
    const auto expected = squares(tasks);
    int killed = 0;
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      n.start(kill_workers(pool, 50ms, killed));
      for (int round = 0; round < 20; ++round) {
        const bool equal =
            co_await pool.map<square_with_work>(items).chunk(round % 3 == 0 ? 1 : 50).retries(1000) ==
            expected;
        CHECK(equal);
      }
      n.cancel();
    });
    CHECK(killed > (tasks > 100'000 ? 20 : 0));
    co_await pool.close();
  });
}

TEST_CASE("without retries exactly the tasks that killed workers were at fail, with child_died") {
  const int tasks = many(200'000);
  run_clean([tasks]() -> brood::task<> {
    auto pool = co_await brood::pool::open(4);
    int killed = 0;
    std::uint64_t failed = 0;
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      n.start(kill_workers(pool, 20ms, killed));
      for (int round = 0; round < 5; ++round) {
        const auto lost = pool.stats().tasks_lost;
        const auto all = co_await pool.map<square_with_work>(numbers(tasks)).chunk(1).collect();
        std::uint64_t failed_now = 0;
        bool right = true;
        for (int i = 0; i < tasks; ++i) {
          const auto& each = all[static_cast<std::size_t>(i)];
          if (each.has_value()) {
            right = right && each.value() == square(i);
          } else {
            ++failed_now;
            CHECK_THROWS_AS(each.value(), brood::child_died);
          }
        }
        CHECK(right);
        CHECK(failed_now == pool.stats().tasks_lost - lost);
        failed += failed_now;
        const auto words = co_await pool.map<word_with_work>(numbers(tasks / 10)).chunk(20).collect();
        for (std::size_t i = 0; i < words.size(); ++i) {
          right = right && (!words[i].has_value() || words[i].value().size() == i % 300);
        }
        CHECK(right);
      }
      n.cancel();
    });
    CHECK(failed <= static_cast<std::uint64_t>(killed));
    co_await pool.close();
  });
}

TEST_CASE("a thousand idle workers are killed at random, and the pool serves on") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(4);
    int killed = 0;
    std::mt19937 random(7);
    const int deaths = many(1000);
    while (killed < deaths) {
      const auto pids = pool.worker_pids();
      if (!pids.empty() && kill(pids[random() % pids.size()], SIGKILL) == 0) ++killed;
      const auto square_result = co_await pool.apply<square>(killed).retries(1000);
      CHECK(square_result == square(killed));
    }
    const auto square_results = co_await pool.map<square>(numbers(1000)).retries(10);
    CHECK(square_results == squares(1000));
    co_await pool.close();
  });
}

TEST_CASE("a task beyond its deadline is killed with its whole process tree, and the next one runs") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    const auto processes = processes_in_use();
    brood::queue<int> pids;
    const auto begin = brood::clock::now();
    try {
      co_await pool.apply<hang_with_family>(pids).deadline(300ms);
      FAIL("nothing was thrown");
    } catch (const brood::child_died& e) {
      CHECK(e.status().deadline_passed);
      CHECK_THAT(std::string(e.what()), contains_text("deadline"));
    }
    CHECK(brood::clock::now() - begin >= 300ms);
    const auto square_result = co_await pool.apply<square>(3);
    CHECK(square_result == 9);
    const auto all = co_await pids.get_many(3);
    REQUIRE(all.size() == 3);
    for (const int pid : all) {
      while (!is_gone(pid)) co_await brood::sleep_for(1ms);
    }
    while (processes_in_use() > processes)
      co_await brood::sleep_for(1ms);  // the worker's child is buried by us
    CHECK(pool.stats().deadlines_passed == 1);
    co_await pool.close();
  });
}

TEST_CASE("a deadline is that of each item, whatever the chunk, and hits nothing else") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    constexpr auto hang_at_five = [](int x) {
      if (x == 5) wait_for_ever(0);
      usleep(15'000);
      return square(x);
    };
    for (const std::uint64_t chunk : {1u, 10u}) {
      const auto all = co_await pool.map<hang_at_five>(numbers(10)).chunk(chunk).deadline(120ms).collect();
      for (int i = 0; i < 10; ++i) CHECK(all[static_cast<std::size_t>(i)].has_value() == (i != 5));
    }
    CHECK(pool.stats().deadlines_passed == 2);
    auto f = pool.submit<wait_for_ever>(1).deadline(50ms);
    const auto threw_child_died = co_await throws<brood::child_died>(f);
    CHECK(threw_child_died);
    const auto square_results = co_await pool.map<square>(numbers(2000)).chunk(1).deadline(10s);
    CHECK(square_results == squares(2000));
    CHECK(pool.stats().workers_died == 3);
    co_await pool.close();
  });
}

TEST_CASE("ten thousand queued sleeps: terminate returns at once, and the workers are gone soon") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    std::vector<brood::future<void>> all;
    for (int i = 0; i < 10'000; ++i) all.push_back(pool.submit<wait_for_ever>(i));
    co_await brood::sleep_for(5ms);
    const auto begin = brood::clock::now();
    pool.terminate();
    for (auto& each : all) {
      const auto threw_closed = co_await throws<brood::closed>(each);
      CHECK(threw_closed);
    }
    co_await pool.join();
    CHECK(brood::clock::now() - begin < 5s);
    CHECK(brood::active_children().empty());
    CHECK_THROWS_AS(pool.submit<square>(1), brood::closed);
  });
}

TEST_CASE("a pool that is dropped without close leaves no worker behind") {
  run_balanced([]() -> brood::task<> {
    std::optional<brood::future<void>> hanging;
    {
      auto pool = co_await brood::pool::open(3);
      const auto square_result = co_await pool.apply<square>(3);
      CHECK(square_result == 9);
      hanging = pool.submit<wait_for_ever>(1);
      co_await brood::sleep_for(5ms);
    }
    const auto threw_closed = co_await throws<brood::closed>(*hanging);
    CHECK(threw_closed);
    CHECK_FALSE(hanging->cancel());
    while (!brood::active_children().empty()) co_await brood::sleep_for(1ms);
  });
}

TEST_CASE("a pool that outlives its loop is ended with it") {
  std::optional<brood::pool> forgotten;
  std::optional<brood::future<void>> hanging;
  const leftovers before = leftovers::now();
  {
    brood::runtime loop;
    loop.run_until_complete([&]() -> brood::task<> {
      forgotten = co_await brood::pool::open(2);
      hanging = forgotten->submit<wait_for_ever>(1);
      co_await brood::sleep_for(5ms);
    }());
  }
  CHECK(leftovers::now() == before);
  CHECK(hanging->is_ready());
  forgotten.reset();
}

TEST_CASE("a worker that is stopped holds up its own tasks only") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const int stopped = pool.worker_pids()[0];
    kill(stopped, SIGSTOP);
    const auto square_results = co_await pool.map<square>(numbers(1000)).chunk(1).deadline(10s);
    CHECK(square_results == squares(1000));
    kill(stopped, SIGCONT);
    co_await pool.close();
  });
}
