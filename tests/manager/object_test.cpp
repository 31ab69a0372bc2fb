// Classes of the user's in a manager. (_TestMyManager, TestManagerExceptions)
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "served.hpp"
#include "visitors.hpp"

using namespace std::chrono_literals;
using brood::manager;
using brood::task;
namespace managed = brood::managed;

namespace {

int alive = 0;

class counter {
 public:
  explicit counter(int start = 0) : value_(start) { ++alive; }
  counter(const std::string& text, int more) : value_(static_cast<int>(text.size()) + more) { ++alive; }
  counter(const counter&) = delete;
  counter& operator=(const counter&) = delete;
  ~counter() { --alive; }

  int add(int n) { return value_ += n; }
  int value() const noexcept { return value_; }
  void fail(const std::string& why) { throw std::domain_error(why); }
  task<int> add_later(int n) {
    co_await brood::yield();
    co_return value_ += n;
  }
  task<> open() {
    opened_.set();
    co_return;
  }
  task<std::string> wait_open(const std::string& name) {
    co_await opened_.wait();
    co_return "opened for " + name;
  }
  task<int> sum_of(managed::list<int> numbers) {
    int sum = value_;
    for (const int n : co_await numbers.items()) sum += n;
    co_return sum;
  }
  void keep(managed::list<int> numbers) { kept_ = numbers; }
  managed::list<int> kept() const { return kept_; }
  pid_t pid() const { return brood::current_process().pid(); }
  int not_registered_anywhere() { return 1; }

 private:
  int value_;
  brood::detail::local_event opened_;
  managed::list<int> kept_;
};

/// Counts the coroutines that run in it.
class gate {
 public:
  task<> stay() {
    const struct visit {
      explicit visit(gate& g) : at(g) { ++at.present_; }
      ~visit() { --at.present_, ++at.left_, at.somebody_left_.notify_all(); }
      gate& at;
    } here(*this);
    co_await never_.wait();
  }
  int present() const { return present_; }
  /// Waits until `count` have gone.
  task<> left(int count) {
    while (left_ < count) co_await somebody_left_.wait();
  }

 private:
  int present_ = 0;
  int left_ = 0;
  brood::detail::local_event never_;
  brood::detail::local_event somebody_left_;
};

task<> stay_at(managed::object<gate> g, int times) {
  std::vector<decltype(g.call<&gate::stay>())> calls;
  for (int i = 0; i < times; ++i) calls.push_back(g.call<&gate::stay>());
  co_await brood::when_all(std::move(calls));
}

/// An object that only this process has, with a coroutine of its own in it.
task<> stay_alone(manager m, managed::event there) {
  auto c = co_await m.make<counter>();
  co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
    n.start([](managed::object<counter> of) -> task<> { co_await of.call<&counter::wait_open>(""); }(c));
    co_await c.call<&counter::add>(1);  // it waits by now
    co_await there.set();
  });
}

/// Gives its values one by one.
class fountain {
 public:
  explicit fountain(int start) : value_(start) { ++alive; }
  fountain(const fountain&) = delete;
  fountain& operator=(const fountain&) = delete;
  ~fountain() { --alive; }

  brood::generator<int> squares(int count) {
    for (int i = 0; i < count; ++i) {
      co_await brood::yield();
      co_yield value_ + i* i;
    }
  }
  brood::generator<std::string> until_it_throws(const std::string& what) {
    co_yield what;
    throw std::domain_error(what);
  }
  brood::generator<int> for_ever(managed::list<int> from) {
    for (;;) {
      for (const int n : co_await from.items()) co_yield n;
    }
  }

 private:
  int value_;
};

/// Reads one value of a stream that has no end, and is killed.
task<> read_for_ever(manager m, managed::event there) {
  auto f = co_await m.make<fountain>(1);
  auto squares = f.each<&fountain::squares>(1 << 30);
  co_await squares.next();
  co_await there.set();
  while (co_await squares.next()) {
  }
}

class census {
 public:
  int counters() const { return alive; }
};

class refuses {
 public:
  refuses() { throw std::runtime_error("not today"); }
  int answer() { return 42; }
};

class other {
 public:
  int add(int n) { return n; }
};

/// A request for something that no program has.
brood::remote::request unknown_method(const managed::object<counter>& of) {
  struct opened : managed::object<counter> {
    explicit opened(const managed::object<counter>& o) : managed::object<counter>(o) {}
    const brood::remote::object_pointer& pointer() const { return brood::remote::proxy::object(); }
  };
  return brood::remote::request(opened(of).pointer(), std::uint64_t{4711});
}

}  // namespace

TEST_CASE("an object is made, called, and ends with the last handle") {
  served([](manager m) -> task<> {
    {
      auto c = co_await m.make<counter>(5);
      CHECK(alive == 1);
      const int eight = co_await c.call<&counter::add>(3);
      CHECK(eight == 8);
      const int value = co_await c.call<&counter::value>();
      CHECK(value == 8);
      const auto copy = c;
      const int later = co_await copy.call<&counter::add_later>(2);
      CHECK(later == 10);
      auto text = co_await m.make<counter>("four", 1);
      const int five = co_await text.call<&counter::value>();
      CHECK(five == 5);
      auto plain = co_await m.make<counter>();
      const int zero = co_await plain.call<&counter::value>();
      CHECK(zero == 0);
      CHECK(alive == 3);
    }
    auto d = co_await m.dict<int, int>();  // the releases came before this
    CHECK(alive == 0);
  });
}

TEST_CASE("what an object throws arrives with its type") {
  served_by_a_child([](manager m) -> task<> {
    auto c = co_await m.make<counter>(5);
    try {
      co_await c.call<&counter::fail>("no reason");
      FAIL("nothing thrown");
    } catch (const brood::remote_error& e) {
      CHECK(e.type() == "std::domain_error");
      CHECK_THAT(e.what(), contains_text("no reason"));
      CHECK(e.pid() == m.pid());
    }
    const std::string made = co_await error_of(m.make<refuses>());
    CHECK(made == "remote std::runtime_error");
    const pid_t where = co_await c.call<&counter::pid>();
    CHECK(where == m.pid());
  });
}

TEST_CASE("only what the program has registered can be called") {
  served([](manager m) -> task<> {
    auto c = co_await m.make<counter>(5);
    brood::remote_call hostile(unknown_method(c), brood::remote::to_nothing());
    const std::string unknown = co_await error_of(std::move(hostile));
    CHECK(unknown == "brood::call_refused");
    // A method of another class.
    brood::remote::request mixed = unknown_method(c);
    struct opened : managed::object<counter> {
      explicit opened(const managed::object<counter>& o) : managed::object<counter>(o) {}
      const brood::remote::object_pointer& pointer() const { return brood::remote::proxy::object(); }
    };
    brood::remote::request of_other(opened(c).pointer(),
                                    brood::remote::method_entry<other, &other::add>::name());
    of_other.value(1);
    brood::remote_call crossed(std::move(of_other), brood::remote::to_nothing());
    const std::string refused = co_await error_of(std::move(crossed));
    CHECK(refused == "brood::call_refused");
    const int still = co_await c.call<&counter::value>();
    CHECK(still == 5);
  });
}

TEST_CASE("a method that is a coroutine holds up no other") {
  served([](manager m) -> task<> {
    auto c = co_await m.make<counter>();
    std::string got;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](managed::object<counter> of, std::string& into) -> task<> {
        into = co_await of.call<&counter::wait_open>("me");
      }(c, got));
      const int one = co_await c.call<&counter::add>(1);
      CHECK(one == 1);
      CHECK(got.empty());
      co_await c.call<&counter::open>();
    });
    CHECK(got == "opened for me");
  });
}

TEST_CASE("a coroutine in the server is cancelled with its caller") {
  served_by_a_child([](manager m) -> task<> {
    auto c = co_await m.make<counter>();
    const std::string late = co_await error_of(brood::with_timeout(1ms, c.call<&counter::wait_open>("me")));
    CHECK(late == "brood::timed_out");
    const int one = co_await c.call<&counter::add>(1);
    CHECK(one == 1);
  });
}

TEST_CASE("a coroutine in the server is cancelled when its client is killed") {
  served_by_a_child([](manager m) -> task<> {
    auto g = co_await m.make<gate>();
    auto child = co_await brood::spawn<stay_at>(g, 100);
    for (int present = 0; present < 100;) present = co_await g.call<&gate::present>();
    child.kill();
    co_await brood::with_timeout(30s, g.call<&gate::left>(100));
    const int present = co_await g.call<&gate::present>();
    CHECK(present == 0);
    co_await child.join();

    // And the object goes, if nobody else has it.
    auto there = co_await m.event();
    auto all = co_await m.make<census>();
    auto alone = co_await brood::spawn<stay_alone>(m, there);
    co_await there.wait();
    const int one = co_await all.call<&census::counters>();
    CHECK(one == 1);
    alone.kill();
    co_await alone.join();
    for (int left = 1; left > 0;) left = co_await all.call<&census::counters>();
  });
}

TEST_CASE("a method that gives a generator gives its values one by one") {
  served_by_a_child([](manager m) -> task<> {
    const std::size_t before = co_await m.objects();
    {
      auto f = co_await m.make<fountain>(100);
      auto squares = f.each<&fountain::squares>(4);
      std::vector<int> all;
      while (auto n = co_await squares.next()) all.push_back(*n);
      CHECK(all == std::vector<int>{100, 101, 104, 109});
      const auto nothing_more = co_await squares.next();
      CHECK_FALSE(nothing_more);

      auto failing = f.each<&fountain::until_it_throws>("text");
      const auto text = co_await failing.next();
      CHECK(text == "text");
      const std::string thrown = co_await error_of(failing.next());
      CHECK(thrown == "remote std::domain_error");

      const std::vector<int> numbers{1, 2, 3};
      auto l = co_await m.list<int>(numbers);
      auto cycle = f.each<&fountain::for_ever>(l);
      l = {};  // the generator has it
      for (int i = 0; i < 7; ++i) {
        const auto n = co_await cycle.next();
        CHECK(n == i % 3 + 1);
      }
      f = {};  // and the object
      const auto still = co_await cycle.next();
      CHECK(still == 2);
    }
    const std::size_t after = co_await m.objects();
    CHECK(after == before + 1);  // the list, as an argument of a method, which may have kept it
  });
}

TEST_CASE("a generator in the server ends with the client that reads it") {
  served_by_a_child([](manager m) -> task<> {
    auto there = co_await m.event();
    auto all = co_await m.make<census>();
    auto reader = co_await brood::spawn<read_for_ever>(m, there);
    co_await there.wait();
    reader.kill();
    co_await reader.join();
    for (int left = 1; left > 0;) left = co_await all.call<&census::counters>();
    const std::size_t objects = co_await m.objects();
    CHECK(objects == 2);
  });
}

TEST_CASE("handles are arguments and results of methods") {
  served([](manager m) -> task<> {
    auto c = co_await m.make<counter>(1);
    {
      auto l = co_await m.list<int>();
      co_await l.append(2);
      co_await l.append(3);
      const int six = co_await c.call<&counter::sum_of>(l);
      CHECK(six == 6);
      co_await c.call<&counter::keep>(l);
    }
    auto back = co_await c.call<&counter::kept>();
    const auto items = co_await back.items();
    CHECK(items == std::vector<int>{2, 3});
  });
}

TEST_CASE("a named object is one for all") {
  served([](manager m) -> task<> {
    {
      auto a = co_await m.make_named<visitors>("guests");
      co_await a.call<&visitors::came>("one");
    }
    auto b = co_await m.make_named<visitors>("guests");
    const int count = co_await b.call<&visitors::came>("two");
    CHECK(count == 2);
    const auto names = co_await b.call<&visitors::names>();
    CHECK(names == std::vector<std::string>{"one", "two"});
    const std::string other_type = co_await error_of(m.dict<int, int>("guests"));
    CHECK(other_type == "brood::call_refused");
    auto d = co_await m.dict<int, int>("numbers");
    const std::string other_value = co_await error_of(m.dict<int, double>("numbers"));
    CHECK(other_value == "brood::call_refused");
  });
}
