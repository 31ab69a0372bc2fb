// Classes of the user's in a manager. (_TestMyManager, TestManagerExceptions)
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/current.hpp"
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
