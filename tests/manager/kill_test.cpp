// A manager whose clients are killed, again and again; one that is killed itself; a client that is stopped.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "scale.hpp"
#include "served.hpp"

using namespace std::chrono_literals;
using brood::manager;
using brood::task;
namespace managed = brood::managed;

namespace {

/// What the clients play with.
struct toys {
  manager m;
  managed::queue<int> q;
  managed::lock l;
  managed::semaphore s;
  managed::condition c;
  managed::barrier b;
  managed::dict<int, int> progress;
  managed::dict<int, managed::list<int>> lists;
  managed::event stop;
};

/// One player: takes, holds and gives back at random.
class player {
 public:
  player(toys t, int number) : t_(std::move(t)), number_(number), random_(static_cast<unsigned>(number)) {}

  task<> play() {
    for (bool stopped = false; !stopped; stopped = co_await t_.stop.is_set()) {
      co_await act(static_cast<unsigned>(random_() % 6));
      co_await t_.progress.fetch_add(number_, 1);
    }
  }

 private:
  task<> act(unsigned what) {
    if (what == 0) return hold_the_lock();
    if (what == 1) return hold_permits();
    if (what == 2) return pass_an_item_on();
    if (what == 3) return wait_for_a_notice();
    if (what == 4) return meet();
    return nest();
  }
  task<> hold_the_lock() {
    auto guard = co_await t_.l.acquire();
    for (int i = 0; i < 3; ++i) co_await t_.l.locked();
  }
  task<> hold_permits() {
    auto one = co_await t_.s.acquire();
    auto two = co_await t_.s.try_acquire();
    co_await t_.s.value();
  }
  task<> pass_an_item_on() {
    auto item = co_await t_.q.get_leased();
    co_await t_.q.put(*item);
    item.done();
  }
  task<> wait_for_a_notice() {
    co_await t_.c.notify(1);
    auto guard = co_await t_.l.acquire();
    co_await in_time(t_.c.wait(guard));
  }
  task<> meet() {
    const bool met = co_await in_time(t_.b.arrive());
    if (!met) co_await t_.b.reset();
  }
  task<> nest() {
    auto l = co_await t_.m.list<int>();
    auto other = co_await t_.m.list<int>();
    co_await l.append(number_);
    co_await t_.lists.set(number_, l);
    co_await t_.lists.erase(number_);
  }

  template <class Operation>
  static task<bool> in_time(Operation operation) {
    try {
      co_await brood::with_timeout(5ms, std::move(operation));
      co_return true;
    } catch (const brood::timed_out&) {
    } catch (const brood::remote_error&) {  // the barrier is broken
    }
    co_return false;
  }

  toys t_;
  int number_;
  std::mt19937 random_;
};

task<> play(toys t, int number) {
  player p(std::move(t), number);
  co_await p.play();
}

/// What is answered "yes" in the end, as clients' ends may have yet to be seen.
template <class Question>
task<> in_the_end(Question question) {
  auto asking = [](Question ask) -> task<> {
    for (bool yes = false; !yes;) yes = co_await ask();
  }(std::move(question));
  co_await brood::with_timeout(60s, std::move(asking));
}

/// Calls without end, and what became of them when the manager was killed; then meets its successor.
class orphan {
 public:
  orphan(manager m, int number) : m_(std::move(m)), number_(number) {}

  task<int> live() {
    auto d = co_await m_.dict<int, int>("present");
    auto q = co_await m_.queue<int>(0, "nothing");
    co_await d.set(number_, 1);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (int i = 0; i < 20; ++i) n.start(wait_for_the_end(q));
      for (int i = 0; i < 20; ++i) n.start(work_to_the_end(d));
      co_return;
    });
    for (bool back = false; !back;) back = co_await come_back();
    co_return typed_;
  }

 private:
  task<> wait_for_the_end(managed::queue<int> q) {
    const std::string error = co_await error_of(q.get());
    typed_ += error == "brood::disconnected";
  }
  task<> work_to_the_end(managed::dict<int, int> d) {
    std::string error = "nothing";
    while (error == "nothing") error = co_await error_of(d.set(number_, 1));
    typed_ += error == "brood::disconnected";
  }
  task<bool> come_back() {
    try {
      auto d = co_await m_.dict<int, int>("present");
      co_await d.set(number_, 2);
      co_return true;
    } catch (const brood::disconnected&) {
    }
    co_await brood::sleep_for(1ms);  // until somebody listens there
    co_return false;
  }

  manager m_;
  int number_;
  int typed_ = 0;
};

task<int> live_as_orphan(manager m, int number) {
  orphan o(std::move(m), number);
  co_return co_await o.live();
}

constexpr int answers = 200;
constexpr std::size_t mebibyte = std::size_t{1} << 20;

task<> read_one(managed::value<std::string> v, std::size_t& total) {
  const std::string text = co_await v.get();
  total += text.size();
}

/// Asks for far more than the server keeps for it, and stops before it reads any answer.
task<std::size_t> ask_and_stop(managed::value<std::string> v) {
  std::size_t total = 0;
  co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
    co_await v.get();
    for (int i = 0; i < answers; ++i) n.start(read_one(v, total));
    for (int i = 0; i < 3; ++i) co_await brood::yield();  // they are sent
    raise(SIGSTOP);
  });
  co_return total;
}

std::size_t resident_memory_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(')');
  return name_end == std::string::npos ? '?' : text.at(name_end + 2);
}

}  // namespace

TEST_CASE(
    "half of the clients are killed at random moments, again and again; all that they held comes back") {
  served_by_a_child([](manager m) -> task<> {
    constexpr std::size_t permits = 20;
    std::mt19937 random(7);
    toys t;
    t.m = m;
    t.q = co_await m.queue<int>();
    t.l = co_await m.lock();
    t.s = co_await m.semaphore(permits);
    t.c = co_await m.condition(t.l);
    t.b = co_await m.barrier(2);
    t.progress = co_await m.dict<int, int>();
    t.lists = co_await m.dict<int, managed::list<int>>();
    t.stop = co_await m.event();
    constexpr int items = 10;
    for (int i = 0; i < items; ++i) co_await t.q.put(i);
    const std::size_t objects = co_await m.objects();
    const int count = many(50);
    const char* wanted = std::getenv("BROOD_TEST_ROUNDS");
    const int rounds = wanted != nullptr ? std::atoi(wanted) : many(20);
    for (int round = 0; round < rounds; ++round) {
      std::vector<brood::process<void>> players;
      for (int i = 0; i < count; ++i) players.push_back(co_await brood::spawn<play>(t, round * count + i));
      co_await in_the_end([&]() -> task<bool> {
        const std::size_t playing = co_await t.progress.size();
        co_return playing >= static_cast<std::size_t>(count);
      });
      std::shuffle(players.begin(), players.end(), random);
      const std::size_t victims = players.size() / 2;
      for (std::size_t i = 0; i < victims; ++i) players[i].kill();
      for (std::size_t i = 0; i < victims; ++i) co_await players[i].join();
      // The others go on.
      co_await t.progress.clear();
      co_await in_the_end([&]() -> task<bool> {
        const std::size_t playing = co_await t.progress.size();
        co_return playing >= players.size() - victims;
      });
      co_await t.stop.set();
      for (std::size_t i = victims; i < players.size(); ++i) co_await players[i].result();
      // All comes back.
      auto guard = co_await brood::with_timeout(60s, t.l.acquire());
      guard.release();
      co_await in_the_end([&]() -> task<bool> {
        const std::size_t value = co_await t.s.value();
        co_return value == permits;
      });
      co_await t.lists.clear();
      co_await in_the_end([&]() -> task<bool> {
        const std::size_t now = co_await m.objects();
        co_return now == objects;
      });
      co_await in_the_end([&]() -> task<bool> {
        const std::size_t size = co_await t.q.size();
        co_return size >= items;  // one that died between `put` and `done` left its item twice
      });
      const std::size_t waiting = co_await t.b.waiting();
      CHECK(waiting == 0);
      co_await t.progress.clear();
      co_await t.stop.clear();
    }
  });
}

TEST_CASE(
    "a manager is killed under fifty busy clients: each call ends with the typed error, all meet the next "
    "one") {
  const std::string where = "unix:@brood-manager-kill-test-" + std::to_string(getpid());
  run_clean([&]() -> task<> {
    const int count = many(50);
    auto m = co_await manager::start().at(where);
    auto d = co_await m.dict<int, int>("present");
    std::vector<brood::process<int>> clients;
    for (int i = 0; i < count; ++i) clients.push_back(co_await brood::spawn<live_as_orphan>(m, i));
    for (std::size_t there = 0; there < clients.size();) there = co_await d.size();
    ::kill(m.pid(), SIGKILL);
    co_await m.shutdown();  // reaps it
    auto next = co_await manager::start().at(where);
    int typed = 0;
    for (const auto& each : clients) typed += co_await each.result();
    CHECK(typed == 40 * count);
    auto present = co_await next.dict<int, int>("present");
    const auto back = co_await present.values();
    CHECK(back == std::vector<int>(static_cast<std::size_t>(count), 2));
    co_await next.shutdown();
  });
}

TEST_CASE("a client that is stopped costs the server a bounded memory, and nobody else anything") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().at("tcp:127.0.0.1:0");
    const std::string large(mebibyte, 'x');
    auto v = co_await m.value<std::string>(large);
    auto d = co_await m.dict<int, int>();
    const auto before = resident_memory_of(m.pid());
    auto child = co_await brood::spawn<ask_and_stop>(v);
    while (state_of(child.pid()) != 'T') co_await d.size();
    for (int i = 0; i < 2000; ++i) co_await d.set(i, i);
    const auto after = resident_memory_of(m.pid());
    CHECK(after < before + 64 * mebibyte);
    child.send_signal(SIGCONT);
    const std::size_t total = co_await child.result();
    CHECK(total == answers * mebibyte);
    co_await m.shutdown();
  });
}
