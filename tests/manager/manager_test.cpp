// A manager and the children of its family, under every way of making them: handles as arguments and results, a thousand
// clients of which a hundred are killed, initializers, the end of everything.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/when_all.hpp"
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

class counter {
 public:
  explicit counter(int start) : value_(start) {}
  int add(int n) { return value_ += n; }

 private:
  int value_;
};

int plus(int now, int more) { return now + more; }

task<managed::list<int>> make_list_in_child(manager m) {
  auto l = co_await m.list<int>();
  co_await l.append(7);
  co_return l;
}

task<int> use_everything(manager m, managed::object<counter> c, managed::value<int> v, managed::event go) {
  co_await go.wait();
  co_await v.update<plus>(1);
  auto l = co_await m.lock("the lock");
  auto guard = co_await l.acquire();
  co_return co_await c.call<&counter::add>(1);
}

/// A client of the crowd: holds what it is told to hold until it is killed, or works until `go`.
task<int> be_in_the_crowd(int number, managed::lock l, managed::semaphore s, managed::dict<int, int> d,
                          managed::barrier all, managed::event go) {
  auto permit = co_await s.acquire();
  managed::lock_guard guard;
  if (number == 0) guard = co_await l.acquire();
  co_await d.fetch_add(0, 1);
  co_await all.arrive();
  if (number < 0) co_await l.acquire();  // waits in the line
  co_await go.wait();
  co_await d.set(number + 1, number);
  auto own = co_await l.acquire();
  co_return co_await d.fetch_add(-1, 1);
}

void set_flag(const std::string& text) { ::setenv("INITIALIZED", text.c_str(), 1); }
void fail_to_initialize() { throw std::runtime_error("no initializer today"); }

class environment {
 public:
  std::string of(const std::string& name) const {
    const char* found = std::getenv(name.c_str());
    return found != nullptr ? found : "";
  }
};

task<> take_from(brood::queue<managed::list<int>> q) {
  auto l = co_await q.get();
  co_await l.append(3);
}

}  // namespace

TEST_CASE("handles are arguments of children, and results") {
  served_by_a_child([](manager m) -> task<> {
    auto child = co_await brood::spawn<make_list_in_child>(m);
    auto made = co_await child.result();
    const auto items = co_await made.items();
    CHECK(items == std::vector<int>{7});

    auto c = co_await m.make<counter>(0);
    auto v = co_await m.value<int>(0);
    auto go = co_await m.event();
    std::vector<brood::process<int>> children;
    for (int i = 0; i < 8; ++i) children.push_back(co_await brood::spawn<use_everything>(m, c, v, go));
    co_await go.set();
    std::vector<int> results;
    for (const auto& each : children) results.push_back(co_await each.result());
    std::sort(results.begin(), results.end());
    CHECK(results == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8});
    const int value = co_await v.get();
    CHECK(value == 8);
  });
}

TEST_CASE("a handle in a queue of the family keeps its object on the way") {
  served_by_a_child([](manager m) -> task<> {
    brood::queue<managed::list<int>> q;
    auto outer = co_await m.dict<int, managed::list<int>>();
    auto child = co_await brood::spawn<take_from>(q);
    auto l = co_await m.list<int>();
    co_await q.put(l);
    co_await child.result();
    const auto items = co_await l.items();
    CHECK(items == std::vector<int>{3});
  });
}

TEST_CASE("a manager with a key of its own tells it to the children that get its handle") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().key("a key of its own");
    auto child = co_await brood::spawn<make_list_in_child>(m);
    auto made = co_await child.result();
    const std::size_t size = co_await made.size();
    CHECK(size == 1);
    co_await m.shutdown();
  });
}

TEST_CASE("an initializer runs in the server's process; one that throws, and the manager is not started") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().initializer<set_flag>("yes");
    auto e = co_await m.make<environment>();
    const std::string there = co_await e.call<&environment::of>("INITIALIZED");
    CHECK(there == "yes");
    CHECK(std::getenv("INITIALIZED") == nullptr);
    co_await m.shutdown();
    const std::string failed = co_await error_of(manager::start().initializer<fail_to_initialize>());
    CHECK(failed == "remote std::runtime_error");
  });
}

TEST_CASE(
    "a thousand clients; a hundred that hold locks and references are killed; the rest go on, all comes "
    "back") {
  served_by_a_child([](manager m) -> task<> {
    const int count = many(1000);
    const int victims = std::max(count / 10, 1);
    auto l = co_await m.lock();
    auto s = co_await m.semaphore(static_cast<std::size_t>(count));
    auto d = co_await m.dict<int, int>();
    auto all = co_await m.barrier(static_cast<std::size_t>(count) + 1);
    auto go = co_await m.event();
    std::vector<brood::process<int>> children;
    // The first holds the lock, the other victims wait for it; each has a permit.
    for (int i = 0; i < count; ++i) {
      const int number = i == 0 ? 0 : i < victims ? -i : i;
      children.push_back(co_await brood::spawn<be_in_the_crowd>(number, l, s, d, all, go));
    }
    co_await all.arrive();
    const int there = co_await d.at(0);
    CHECK(there == count);
    const std::size_t none_left = co_await s.value();
    CHECK(none_left == 0);
    for (int i = 0; i < victims; ++i) children[static_cast<std::size_t>(i)].kill();
    for (int i = 0; i < victims; ++i) co_await children[static_cast<std::size_t>(i)].join();
    co_await go.set();
    std::vector<int> order;
    for (int i = victims; i < count; ++i)
      order.push_back(co_await children[static_cast<std::size_t>(i)].result());
    std::sort(order.begin(), order.end());
    bool complete = static_cast<int>(order.size()) == count - victims;
    for (std::size_t i = 0; complete && i < order.size(); ++i) complete = order[i] == static_cast<int>(i);
    CHECK(complete);
    // The clients' ends may have yet to be seen: their permits come back one after the other.
    for (std::size_t back = 0; back < static_cast<std::size_t>(count);) back = co_await s.value();
    auto guard = co_await brood::with_timeout(60s, l.acquire());
    CHECK(guard.is_held());
  });
}
