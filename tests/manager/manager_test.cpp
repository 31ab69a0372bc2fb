// A manager and the children of its family, under every way of making them: handles as arguments and results, a thousand
// clients of which a hundred are killed, initializers, the end of everything.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/managed_pool.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/stream.hpp"
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

int square(int x) { return x * x; }
int sum(int a, int b) { return a + b; }
int throw_odd(int x) { return x % 2 == 0 ? x : throw std::domain_error("odd"); }

/// Uses each kind of object as a user would. (TestSyncManagerTypes)
task<int> use_all_types(manager m, managed::event e, managed::lock l, managed::lock rl, managed::semaphore s,
                        managed::semaphore bounded, managed::condition c, managed::barrier b, managed::pool p,
                        managed::queue<int> q) {
  co_await e.wait();
  {
    auto guard = co_await l.acquire();
    auto outer = co_await rl.acquire();
    auto inner = co_await rl.acquire();
    auto permit = co_await s.acquire();
    auto other = co_await bounded.acquire();
    auto waiting = co_await c.notify_all();
    static_cast<void>(waiting);
  }
  co_await b.arrive();
  const int six = co_await q.get();
  co_await q.task_done();
  auto list = co_await m.list<int>("list");
  co_await list.append(six);
  auto dict = co_await m.dict<std::string, int>("dict");
  co_await dict.set("foo", six);
  auto set = co_await m.set<int>("set");
  co_await set.add(six);
  auto value = co_await m.value<int>(0, "value");
  co_await value.set(six);
  auto array = co_await m.array<int>(6, "array");
  co_await array.set(5, six);
  auto names = co_await m.name_space("names");
  co_await names.set("x", six);
  const std::vector<int> items{1, 2, 3};
  int total = 0;
  for (const int n : co_await p.map<square>(items)) total += n;
  co_return total;
}

/// Something that takes turns of the loop to end once it is asked to.
class slow_to_end {
 public:
  task<> stay() { return nested(100); }

 private:
  static task<> nested(int depth) {
    co_await brood::with_nursery([depth](brood::nursery& n) -> task<> {
      if (depth > 0) n.start(nested(depth - 1));
      co_await brood::sleep_for(1h);
    });
  }
};

task<> call_stay(managed::object<slow_to_end> o) { co_await o.call<&slow_to_end::stay>(); }

/// Ends with a manager, its objects and calls still there.
task<> leave_a_manager_behind() {
  auto m = co_await manager::start().in_this_process();
  auto l = co_await m.list<int>("l");
  co_await l.append(1);
  auto o = co_await m.make<slow_to_end>();
  brood::runtime::current().start(call_stay(o), [](const std::exception_ptr&) {});
  co_await l.size();  // `stay` has come before this
}

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

TEST_CASE("every kind of object is usable from a child; afterwards the server alone is left") {
  served_by_a_child([](manager m) -> task<> {
    {
      auto e = co_await m.event();
      auto l = co_await m.lock();
      auto rl = co_await m.rlock();
      auto s = co_await m.semaphore(1);
      auto bounded = co_await m.bounded_semaphore(1);
      auto c = co_await m.condition(l);
      auto b = co_await m.barrier(2);
      auto p = co_await m.pool(2);
      auto q = co_await m.queue<int>();
      auto child = co_await brood::spawn<use_all_types>(m, e, l, rl, s, bounded, c, b, p, q);
      co_await e.set();
      co_await b.arrive();
      co_await q.put(6);
      co_await q.join();
      const int total = co_await child.result();
      CHECK(total == 14);
      auto list = co_await m.list<int>("list");
      const int in_list = co_await list.at(0);
      auto dict = co_await m.dict<std::string, int>("dict");
      const int in_dict = co_await dict.at("foo");
      auto set = co_await m.set<int>("set");
      const int in_set = co_await set.pop();
      auto value = co_await m.value<int>(0, "value");
      const int in_value = co_await value.get();
      auto array = co_await m.array<int>(6, "array");
      const int in_array = co_await array.at(5);
      auto names = co_await m.name_space("names");
      const int in_names = co_await names.get<int>("x");
      CHECK(std::vector<int>{in_list, in_dict, in_set, in_value, in_array, in_names} ==
            std::vector<int>(6, 6));
      co_await p.close();
    }
    const std::size_t objects = co_await m.objects();
    CHECK(objects == 6 + 9);  // those with names, and those lent to the child, for a minute
    const auto left = brood::active_children();
    REQUIRE(left.size() == 1);
    CHECK(left.front().pid() == m.pid());
  });
}

TEST_CASE("a pool in the manager: calls, errors, streams, a client that is killed, its end") {
  served_by_a_child([](manager m) -> task<> {
    const std::string none = co_await error_of(m.pool(0));
    CHECK(none == "remote std::invalid_argument");
    auto p = co_await m.pool(2, "workers");
    auto same = co_await m.pool(5, "workers");
    CHECK(p == same);
    const int five = co_await p.apply<sum>(2, 3);
    CHECK(five == 5);
    const std::vector<int> items{1, 2, 3, 4, 5};
    const std::vector<int> squares = co_await p.map<square>(items);
    CHECK(squares == std::vector<int>{1, 4, 9, 16, 25});
    const std::vector<std::tuple<int, int>> tuples{{1, 2}, {3, 4}};
    const std::vector<int> sums = co_await p.starmap<sum>(tuples);
    CHECK(sums == std::vector<int>{3, 7});
    const std::string odd = co_await error_of(p.map<throw_odd>(items));
    CHECK(odd == "remote std::domain_error");  // the worker's, not the server's
    std::vector<int> streamed;
    auto stream = p.imap<square>(items);
    while (auto n = co_await stream.next()) streamed.push_back(*n);
    CHECK(streamed == squares);
    auto half = p.imap<square>(items);
    co_await half.next();  // and the rest is given up
    co_await p.close();
    const std::string closed = co_await error_of(p.apply<square>(1));
    CHECK(closed == "remote brood::closed");
  });
}

TEST_CASE("a manager in this process ends with its runtime, without a word") {
  run_clean([]() -> task<> {
    auto child = co_await brood::spawn<leave_a_manager_behind>().stderr_(brood::piped);
    const std::string said = co_await child.stderr_().read_all();
    CHECK(said == "");
    const auto status = co_await child.join();
    CHECK(status.exitcode == 0);
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
