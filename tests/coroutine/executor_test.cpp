// The ready queue and the timers, on an executor with a clock of the test's own.
#include "brood/coroutine/executor.hpp"

#include <algorithm>
#include <random>
#include <stdexcept>
#include <vector>

#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::executor;

namespace {

struct recorded : brood::detail::timer_node {
  recorded(int which, std::vector<int>& into) : number(which), log(&into) {
    run = [](ready_node& node) noexcept {
      auto& self = static_cast<recorded&>(static_cast<timer_node&>(node));
      self.log->push_back(self.number);
    };
  }
  int number;
  std::vector<int>* log;
};

}  // namespace

TEST_CASE("an executor constructed and never used is the thread's while it lives") {
  CHECK(executor::current_or_null() == nullptr);
  {
    test_loop outer;
    CHECK(&executor::current() == &outer);
    {
      test_loop inner;
      CHECK(&executor::current() == &inner);
    }
    CHECK(&executor::current() == &outer);
  }
  CHECK_THROWS_AS(executor::current(), std::logic_error);
}

TEST_CASE("what is posted runs in order, and can be withdrawn until it runs") {
  test_loop loop;
  std::vector<int> log;
  recorded one(1, log), two(2, log), three(3, log);
  loop.post(one);
  loop.post(two);
  loop.post(three);
  loop.withdraw(two);
  loop.withdraw(two);
  CHECK(log.empty());
  loop.settle();
  CHECK(log == std::vector<int>{1, 3});
  loop.withdraw(one);
  loop.post(two);
  loop.settle();
  CHECK(log == std::vector<int>{1, 3, 2});
}

TEST_CASE("timers run when they are due, first in, first out among equals") {
  test_loop loop;
  std::vector<int> log;
  recorded late(1, log), early(2, log), equal(3, log);
  late.due = loop.now + 20ms;
  early.due = loop.now + 10ms;
  equal.due = loop.now + 10ms;
  loop.start_timer(late);
  loop.start_timer(early);
  loop.start_timer(equal);
  CHECK(loop.next_timer() == early.due);
  loop.advance(9ms);
  CHECK(log.empty());
  loop.advance(1ms);
  CHECK(log == std::vector<int>{2, 3});
  loop.advance(1h);
  CHECK(log == std::vector<int>{2, 3, 1});
  CHECK(loop.next_timer() == brood::clock::time_point::max());
}

TEST_CASE("the loop is told when the next timer becomes an earlier one") {
  test_loop loop;
  std::vector<int> log;
  recorded late(1, log), later(2, log), early(3, log);
  late.due = loop.now + 20ms;
  later.due = loop.now + 30ms;
  early.due = loop.now + 10ms;
  loop.start_timer(late);
  CHECK(loop.timers_changed_calls == 1);
  loop.start_timer(later);
  CHECK(loop.timers_changed_calls == 1);
  loop.start_timer(early);
  CHECK(loop.timers_changed_calls == 2);
  loop.advance(1s);
  CHECK(log.size() == 3);
}

TEST_CASE("a timer that is due can be stopped until it runs") {
  test_loop loop;
  std::vector<int> log;
  recorded second(2, log);
  struct stopper : brood::detail::timer_node {
    executor* loop;
    timer_node* other;
  } first;
  first.loop = &loop;
  first.other = &second;
  first.run = [](brood::detail::ready_node& node) noexcept {
    auto& self = static_cast<stopper&>(static_cast<brood::detail::timer_node&>(node));
    self.loop->stop_timer(*self.other);
  };
  first.due = second.due = loop.now + 1ms;
  loop.start_timer(first);
  loop.start_timer(second);
  loop.advance(1ms);  // both are posted, the first takes the second away
  CHECK(log.empty());
  loop.stop_timer(second);
  loop.settle();
  CHECK(log.empty());
}

TEST_CASE("timers keep their order whatever is removed") {
  test_loop loop;
  std::mt19937 random(1);
  std::vector<int> log;
  std::vector<recorded> timers;
  timers.reserve(1000);
  for (int i = 0; i < 1000; ++i) {
    timers.emplace_back(i, log);
    timers.back().due = loop.now + std::chrono::milliseconds(random() % 100);
    loop.start_timer(timers.back());
  }
  std::vector<int> expected;
  for (auto& timer : timers) {
    if (random() % 3 == 0) {
      loop.stop_timer(timer);
    } else {
      expected.push_back(timer.number);
    }
  }
  std::sort(expected.begin(), expected.end(), [&](int a, int b) {
    const auto due = [&](int i) { return timers[static_cast<std::size_t>(i)].due; };
    return due(a) != due(b) ? due(a) < due(b) : a < b;
  });
  for (int i = 0; i < 100; ++i) loop.advance(1ms);
  CHECK(log == expected);
}
