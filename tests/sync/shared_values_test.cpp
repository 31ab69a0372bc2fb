// shared_value and shared_array: what they promise, within one process and between forks.
#include <numeric>
#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "brood/sync/condition.hpp"
#include "brood/sync/shared_array.hpp"
#include "brood/sync/shared_value.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace brood;
using namespace std::chrono_literals;

using test::in_loop;
using test::made;
using test::memory;
using test::throws;

TEMPLATE_TEST_CASE("test_value, test_rawvalue: what a child writes is seen", "", int, double, short,
                   std::int64_t, char) {
  memory m;
  const shared_value<TestType> v(TestType(7));
  CHECK(v.unlocked() == 7);
  CHECK(shared_value<TestType>().unlocked() == 0);
  test::child other([&] {
    in_loop([&]() -> task<> {
      const auto value = co_await v.locked();
      *value = TestType(*value + 35);
    });
  });
  CHECK(other.join() == 0);
  CHECK(v.unlocked() == 42);
}

TEST_CASE("test_getobj_getlock: a lock of its own, or one that is given") {
  memory m;
  in_loop([]() -> task<> {
    const shared_value<int> own(1), another(2);
    CHECK_FALSE(own.get_lock() == another.get_lock());
    const lock l;
    const shared_value<int> with(3, l);
    const shared_array<int> and_with(4, l);
    CHECK(with.get_lock() == l);
    auto value = co_await with.locked();
    CHECK(l.locked());
    const bool late = co_await throws<timed_out>(with_timeout(1ms, and_with.locked()));
    CHECK(late);
    value.release();
    CHECK_FALSE(l.locked());
    CHECK_THROWS_AS(value.release(), std::logic_error);
    const auto values = co_await and_with.locked();
    CHECK(values.size() == 4);
    CHECK_FALSE(values.abandoned());
  });
}

TEST_CASE("increments of four processes under the lock are all there") {
  memory m;
  const shared_value<long> v(0);
  const bool made_before_the_forks = v.get_lock().locked();
  CHECK_FALSE(made_before_the_forks);
  std::vector<test::child> children;
  for (int i = 0; i < 4; ++i) {
    children.emplace_back([&] {
      in_loop([&]() -> task<> {
        for (int n = 0; n < 5000; ++n) {
          const auto value = co_await v.locked();
          *value += 1;
        }
      });
    });
  }
  for (auto& c : children) CHECK(c.join() == 0);
  CHECK(v.unlocked() == 20'000);
}

TEST_CASE("test_array, test_rawarray: elements, slices, and a prefix sum by a child in place") {
  memory m;
  const std::vector<int> numbers{680, 626, 934, 821, 150, 233, 548, 982, 714, 831};
  const shared_array<int> a{std::span<const int>(numbers)};
  CHECK(a.size() == 10);
  CHECK(a[3] == 821);
  CHECK(std::ranges::equal(a, numbers));
  CHECK(std::ranges::equal(a.span().subspan(2, 5), std::span(numbers).subspan(2, 5)));
  const shared_array<int> zeros(1000);
  CHECK(std::ranges::count(zeros, 0) == 1000);
  CHECK(shared_array<int>(0).empty());
  CHECK(shared_array<int>().empty());
  CHECK_THROWS_AS(shared_array<int>(std::size_t{1} << 62), arena_full);
  test::child other([&] {
    in_loop([&]() -> task<> {
      const auto values = co_await a.locked();
      std::partial_sum(values.begin(), values.end(), values.begin());
    });
  });
  CHECK(other.join() == 0);
  std::vector<int> expected = numbers;
  std::partial_sum(expected.begin(), expected.end(), expected.begin());
  CHECK(std::ranges::equal(a, expected));
}

namespace {
struct point {
  int x;
  double y;
};
}  // namespace

TEST_CASE("test_sharedctypes: a struct, an array and a text, doubled by a child") {
  memory m;
  const shared_value<point> p(point{3, 0.5});
  const shared_array<double> a(10);
  std::iota(a.begin(), a.end(), 0.0);
  const shared_array<char> text{std::span<const char>("hello", 5)};
  test::child other([=] {
    in_loop([=]() -> task<> {
      const auto value = co_await p.locked();
      value->x *= 2;
      value->y *= 2;
      for (double& d : a) d *= 2;
      for (char& c : text) c = static_cast<char>(c - 'a' + 'A');
    });
  });
  CHECK(other.join() == 0);
  CHECK(p.unlocked().x == 6);
  CHECK(p.unlocked().y == 1.0);
  for (int i = 0; i < 10; ++i) CHECK(a[static_cast<std::size_t>(i)] == 2.0 * i);
  CHECK(std::string(text.begin(), text.end()) == "HELLO");
}

TEST_CASE("test_copy: a handle is the same values, a copy of the values is independent") {
  memory m;
  const shared_value<int> v(1);
  const shared_value<int> same = v;
  const shared_value<int> other(v.unlocked());
  same.unlocked() = 5;
  CHECK(v.unlocked() == 5);
  CHECK(other.unlocked() == 1);
  CHECK(same == v);
  CHECK_FALSE(other == v);
  const shared_array<int> a(3);
  const shared_array<int> copy{std::span<const int>(a.span())};
  a[1] = 9;
  CHECK(copy[1] == 0);
}

TEST_CASE("killed while it holds the lock: the next is told, and sees what was written") {
  memory m;
  const shared_value<int> v(1);
  CHECK_FALSE(v.get_lock().locked());
  test::child holder([&] {
    in_loop([&]() -> task<> {
      const auto value = co_await v.locked();
      *value = 2;
      ::kill(::getpid(), SIGKILL);
    });
  });
  CHECK(holder.join() == -SIGKILL);
  in_loop([&]() -> task<> {
    {
      const auto value = co_await v.locked();
      CHECK(value.abandoned());
      CHECK(*value == 2);
    }
    const auto value = co_await v.locked();
    CHECK_FALSE(value.abandoned());
  });
}

TEST_CASE("a condition over a value") {
  memory m;
  const shared_value<int> v(0);
  const condition changed(v.get_lock());
  CHECK(changed.waiting() == 0);
  test::child other([&] {
    in_loop([&]() -> task<> {
      const auto value = co_await v.locked();
      *value = 1;
      changed.notify();
    });
  });
  in_loop([&]() -> task<> {
    auto value = co_await v.locked();
    const auto is_one = [&] { return *value == 1; };
    co_await with_timeout(30s, changed.wait(value.guard(), is_one));
    CHECK(*value == 1);
  });
  CHECK(other.join() == 0);
}

TEST_CASE(
    "values and arrays travel inside messages, and everything goes with the last handle, also by SIGKILL") {
  memory m;
  queue<std::pair<shared_value<int>, shared_array<int>>> q(2);
  CHECK(q.empty());
  test::child other([&] {
    const std::pair<shared_value<int>, shared_array<int>> pair(shared_value<int>(7), shared_array<int>(100));
    pair.second[99] = 8;
    const shared_array<int> mine(1'000'000);
    q.try_put(pair);
    ::kill(::getpid(), SIGKILL);
  });
  CHECK(other.join() == -SIGKILL);
  const auto back = q.try_get();
  REQUIRE(back.has_value());
  CHECK(back->first.unlocked() == 7);
  CHECK(back->second[99] == 8);
  CHECK_THROWS_AS(decode<shared_value<double>>(encode(back->first)), decode_error);
}
