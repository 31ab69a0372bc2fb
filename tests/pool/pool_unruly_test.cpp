// Tasks that do what no task should, and pools that are used as none should be.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "arena_use.hpp"
#include "brood/channel/queue.hpp"
#include "pools.hpp"

using namespace std::chrono_literals;
using namespace pools;

namespace {

struct no_exception {};

[[noreturn]] int throw_a_number(int x) { throw x; }
[[noreturn]] int throw_a_struct(int) { throw no_exception(); }

int leave_by_underscore_exit(int code) { ::_exit(code); }
int leave_by_exit(int code) { std::exit(code); }
int leave_by_quick_exit(int code) { std::quick_exit(code); }
int leave_by_abort(int) { std::abort(); }

int close_descriptors(int x) {
  for (int fd = 0; fd <= 20; ++fd) ::close(fd);
  return square(x);
}
int replace_descriptors(int x) {
  for (int fd = 0; fd <= 20; ++fd) ::dup2(::open("/dev/null", O_RDWR), fd);
  return square(x);
}

int nap(int x) {
  ::usleep(60'000);
  return x;
}

int wait_at(brood::queue<int> gate) { return brood::sync_wait(gate.get()); }

/// The worker stops when it has been told to end and is about to.
int stop_at_the_end(int) {
  brood::at_exit([] { ::raise(SIGSTOP); });
  return ::getpid();
}
bool is_stopped(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  return std::getline(status, text) && text.substr(text.rfind(')') + 2, 1) == "T";
}

/// What a call ended with: its result, or minus the exit code of its worker.
template <class Call>
brood::task<int> result_or_end(Call call) {
  try {
    co_return co_await std::move(call);
  } catch (const brood::child_died& e) {
    co_return -e.status().exitcode;
  }
}

}  // namespace

TEST_CASE("what is no std::exception arrives with its type") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    std::string number;
    std::string other;
    try {
      co_await pool.apply<throw_a_number>(42);
    } catch (const brood::remote_error& e) {
      number = e.type();
    }
    try {
      co_await pool.apply<throw_a_struct>(1);
    } catch (const brood::remote_error& e) {
      other = e.type();
    }
    CHECK(number == "int");
    CHECK_THAT(other, contains_text("no_exception"));
    CHECK(pool.stats().workers_died == 0);
    co_await pool.close();
  });
}

TEST_CASE("a task that ends its worker, whichever way, costs itself alone") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    const auto leave_by_underscore_exit_end = co_await result_or_end(pool.apply<leave_by_underscore_exit>(3));
    CHECK(leave_by_underscore_exit_end == -3);
    const auto leave_by_exit_end = co_await result_or_end(pool.apply<leave_by_exit>(4));
    CHECK(leave_by_exit_end == -4);
    const auto leave_by_quick_exit_end = co_await result_or_end(pool.apply<leave_by_quick_exit>(5));
    CHECK(leave_by_quick_exit_end == -5);
    const auto second_leave_by_underscore_exit_end =
        co_await result_or_end(pool.apply<leave_by_underscore_exit>(0));
    CHECK(second_leave_by_underscore_exit_end == 0);
    const auto leave_by_abort_end = co_await result_or_end(pool.apply<leave_by_abort>(0));
    CHECK(leave_by_abort_end == SIGABRT);
    const auto square_result = co_await pool.apply<square>(3);
    CHECK(square_result == 9);
    CHECK(pool.stats().tasks_lost == 5);
    co_await pool.close();
  });
}

TEST_CASE("a task that closes or replaces the descriptors of its worker harms no other") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    for (int i = 0; i < 5; ++i) {
      const int closed = co_await result_or_end(pool.apply<close_descriptors>(i));
      CHECK((closed == square(i) || closed < 0));
      const auto square_results = co_await pool.map<square>(numbers(100)).chunk(1).retries(10);
      CHECK(square_results == squares(100));
      const int replaced = co_await result_or_end(pool.apply<replace_descriptors>(i));
      CHECK((replaced == square(i) || replaced < 0));
      const auto second_square_results = co_await pool.map<square>(numbers(100)).chunk(1).retries(10);
      CHECK(second_square_results == squares(100));
    }
    co_await pool.close();
  });
}

TEST_CASE("a deadline counts from when the task begins, not while it is queued") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    std::vector<brood::future<int>> all;
    for (int i = 0; i < 10; ++i) all.push_back(pool.submit<nap>(i).deadline(500ms));
    for (std::size_t i = 0; i < 10; ++i) {
      const auto got = co_await all[i];
      CHECK(got == static_cast<int>(i));
    }  // the last after 600 ms
    CHECK(pool.stats().deadlines_passed == 0);
    co_await pool.close();
  });
}

TEST_CASE("a task that always kills its worker is given up after its retries") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto threw_child_died =
        co_await throws<brood::child_died>(pool.apply<raise_signal>(SIGKILL).retries(3));
    CHECK(threw_child_died);
    CHECK(pool.stats().workers_died == 4);
    CHECK(pool.stats().tasks_lost == 4);
    CHECK(pool.stats().items_retried == 3);
    constexpr auto die_at_five = [](int x) {
      if (x == 5) raise(SIGKILL);
      return square(x);
    };
    const auto all = co_await pool.map<die_at_five>(numbers(10)).chunk(10).retries(2).collect();
    for (int i = 0; i < 10; ++i) CHECK(all[static_cast<std::size_t>(i)].has_value() == (i != 5));
    CHECK(pool.stats().workers_died == 7);
    co_await pool.close();
  });
}

TEST_CASE("a pool lives as long as somebody names or awaits it") {
  run_balanced([]() -> brood::task<> {
    brood::queue<int> gate;
    std::optional<brood::future<int>> left;
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      auto first = co_await brood::pool::open(2);
      auto moved = std::move(first);
      first = moved;
      const auto use = [](brood::pool pool, brood::queue<int> q) -> brood::task<> {
        const auto wait_at_result = co_await pool.apply<wait_at>(q);
        CHECK(wait_at_result == 7);
        const auto square_results = co_await pool.map<square>(numbers(100)).chunk(1);
        CHECK(square_results == squares(100));
      };
      n.start(use(moved, gate));
      left = moved.submit<wait_at>(gate);
      while (gate.waiting_consumers() < 2) co_await brood::sleep_for(1ms);
      co_await gate.put(7);
      co_await gate.put(7);
      const auto left_result = co_await *left;
      CHECK(left_result == 7);
    });
    while (!brood::active_children().empty()) co_await brood::sleep_for(1ms);
    const auto left_result = co_await *left;
    CHECK(left_result == 7);  // what arrived stays
    CHECK_FALSE(left->cancel());
  });
}

TEST_CASE("close waits for the worker that stops on its way out") {
  run_balanced([]() -> brood::task<> {
    const auto processes = processes_in_use();
    auto pool = co_await brood::pool::open(1);
    const int pid = co_await pool.apply<stop_at_the_end>(1);
    bool closed = false;
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      const auto close = [](brood::pool p, bool& done) -> brood::task<> {
        co_await p.close();
        done = true;
      };
      n.start(close(pool, closed));
      while (!is_stopped(pid)) co_await brood::sleep_for(1ms);
      for (int i = 0; i < 100; ++i) co_await brood::yield();
      CHECK_FALSE(closed);
      CHECK(processes_in_use() == processes + 1);
      kill(pid, SIGCONT);
    });
    CHECK(closed);
    CHECK(processes_in_use() == processes);
  });
}
