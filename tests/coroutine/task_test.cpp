// task: begins when awaited, gives one result, runs on whatever depth.
#include "brood/coroutine/task.hpp"

#include <memory>
#include <stdexcept>
#include <string>

#include "brood/coroutine/sleep.hpp"
#include "counted.hpp"
#include "tail_calls.hpp"
#include "test_loop.hpp"

using brood::task;

namespace {

task<int> add(int a, int b) { co_return a + b; }
task<> nothing() { co_return; }
task<counted> give(counted value) { co_return value; }
task<> fail(counted) {
  throw std::runtime_error("no");
  co_return;
}

constexpr int many = transfer_is_a_tail_call ? 1'000'000 : 1'000;
constexpr int deep = transfer_is_a_tail_call ? 100'000 : 1'000;

task<int> descend(int depth) {
  if (depth == 0) co_return 0;
  co_return co_await descend(depth - 1) + 1;
}

task<int> descend_and_wait(int depth) {
  if (depth == 0) {
    co_await brood::yield();
    co_return 0;
  }
  co_return co_await descend_and_wait(depth - 1) + 1;
}

task<> descend_and_fail(int depth) {
  counted here;
  if (depth == 0) throw std::runtime_error("the bottom");
  co_await descend_and_fail(depth - 1);
}

}  // namespace

TEST_CASE("a task constructed and never used does not run and frees its arguments") {
  counted_check check;
  bool ran = false;
  {
    auto body = [&ran](counted) -> task<> {
      ran = true;
      co_return;
    };
    task<> unused = body(counted(1));
    CHECK(counted::live == 1);
  }
  CHECK_FALSE(ran);
}

TEST_CASE("a task gives its value") {
  CHECK(run_here([]() -> task<int> { co_return co_await add(2, 3); }) == 5);
  run_here([]() -> task<> { co_await nothing(); });
}

TEST_CASE("a task's value is moved out once and nothing is left") {
  counted_check check;
  const int value = run_here([]() -> task<int> {
    counted result = co_await give(counted(7));
    co_return result.value;
  });
  CHECK(value == 7);
}

TEST_CASE("a task gives move-only values, references and braced values") {
  auto owner = run_here([]() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); });
  CHECK(*owner == 3);

  int variable = 1;
  run_here([&]() -> task<> {
    auto refer = [](int& v) -> task<int&> { co_return v; };
    int& referred = co_await refer(variable);
    referred = 2;
  });
  CHECK(variable == 2);
  CHECK(&run_here([&]() -> task<int&> { co_return variable; }) == &variable);
  CHECK(&run_here([&]() -> task<const int&> { co_return variable; }) == &variable);

  const auto pair = run_here([]() -> task<std::pair<int, std::string>> { co_return {1, "one"}; });
  CHECK(pair.second == "one");
}

TEST_CASE("an exception leaves where the task is awaited") {
  counted_check check;
  run_here([]() -> task<> {
    counted outer;
    auto failing = fail(counted());
    CHECK(counted::live == 2);
    CHECK_THROWS_AS(co_await std::move(failing), std::runtime_error);
  });
  CHECK_THROWS_WITH(run_here([]() -> task<> { co_await fail(counted()); }), "no");
}

TEST_CASE("a task can be moved before it is awaited") {
  counted_check check;
  run_here([]() -> task<> {
    task<counted> first = give(counted(1));
    task<counted> second = give(counted(2));
    first = std::move(second);
    const counted result = co_await std::move(first);
    CHECK(result.value == 2);
  });
}

TEST_CASE("a task that was moved from, and one that has ended, say so when they are awaited") {
  run_here([]() -> task<> {
    task<int> first = add(1, 2);
    task<int> second = std::move(first);
    int refused = 0;
    try {
      co_await std::move(first);
    } catch (const std::logic_error&) {
      ++refused;
    }
    const int sum = co_await std::move(second);
    CHECK(sum == 3);
    try {
      co_await std::move(second);
    } catch (const std::logic_error&) {
      ++refused;
    }
    CHECK(refused == 2);
  });
}

TEST_CASE("a million ready tasks in a row do not grow the stack") {
  const int sum = run_here([]() -> task<int> {
    int total = 0;
    for (int i = 0; i < many; ++i) total += co_await add(i, 1 - i);
    co_return total;
  });
  CHECK(sum == many);
}

TEST_CASE("deep recursion of tasks does not grow the stack") {
  CHECK(run_here([]() -> task<int> { co_return co_await descend(deep); }) == deep);
  CHECK(run_here([]() -> task<int> { co_return co_await descend_and_wait(deep); }) == deep);
}

TEST_CASE("an exception passes through many tasks") {
  counted_check check;
  CHECK_THROWS_WITH(run_here([]() -> task<> { co_await descend_and_fail(1'000); }), "the bottom");
}

TEST_CASE("a task ends on a loop only, and says so") {
  auto sleeper = []() -> task<> { co_await brood::yield(); };
  bool refused = false;
  // Started by hand: no executor is this thread's.
  auto body = [&]() -> task<> {
    try {
      co_await sleeper();
    } catch (const std::logic_error&) {
      refused = true;
    }
  };
  struct starter {
    struct promise_type {
      starter get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void unhandled_exception() const noexcept { std::terminate(); }
      void return_void() const noexcept {}
    };
  };
  [](task<> t) -> starter { co_await std::move(t); }(body());
  CHECK(refused);
}
