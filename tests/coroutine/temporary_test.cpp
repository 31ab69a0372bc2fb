// Temporaries in awaited expressions: every shape that the headers accept with GCC 12 is destroyed once. See
// detail/compiler_guard.hpp.
#include "brood/coroutine/detail/compiler_guard.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::moved;
using brood::task;

namespace {

struct job {  // an aggregate that owns something
  counted payload;
  int number = 0;
};

struct made {  // the same with a constructor
  explicit made(int n) : payload(n) {}
  counted payload;
};

struct point {  // an aggregate that owns nothing
  int x;
  int y;
};

job make_job() { return job{counted(4)}; }

/// What an awaited function with arguments looks like in this library.
template <class T, class U = T>
task<int> put(U&& value) {
  brood::detail::require_safe_temporary<U>();
  auto hold = [](T held) -> task<int> {
    co_await brood::yield();
    if constexpr (requires { held.payload; }) {
      co_return held.payload.value;
    } else {
      co_return 0;
    }
  };
  return hold(std::forward<U>(value));
}

/// An awaitable that is an aggregate and owns something.
struct operation {
  counted payload;
  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return payload.value; }
};

}  // namespace

TEST_CASE("names, moved names and constructor calls are destroyed once") {
  counted_check check;
  run_here([]() -> task<> {
    job item{counted(3)};
    const job constant{counted(5)};
    int sum = co_await put<job>(item);
    sum += co_await put<job>(constant);
    sum += co_await put<job>(moved{item});
    CHECK(sum == 11);
    CHECK(item.payload.value == -1);

    made object(1);
    sum = co_await put<made>(object);
    sum += co_await put<made>(std::move(object));
    sum += co_await put<made>(made(2));
    sum += co_await put<made>(made{3});
    CHECK(sum == 7);

    co_await put<point>(point{1, 2});
    co_await put<point>({1, 2});
    co_await put<std::optional<job>>(std::optional<job>(std::in_place, counted(1)));
    co_await put<std::pair<job, int>>(std::make_pair(item, 1));
  });
}

TEST_CASE("an operation in a variable may have any argument") {
  counted_check check;
  run_here([]() -> task<> {
    const job item = make_job();
    auto first = put<job>(item);
    const int value = co_await std::move(first);
    CHECK(value == 4);
  });
}

TEST_CASE("a lambda that captures by reference, or owns nothing, may be a temporary") {
  counted_check check;
  run_here([]() -> task<> {
    counted here(1);
    int number = 2;
    const int sum = co_await brood::with_nursery([&here, number](brood::nursery& n) -> task<int> {
      n.start(brood::sleep_for(1s));
      co_return here.value + number;
    });
    CHECK(sum == 3);
  });
}

TEST_CASE("a lambda that owns something is given by name") {
  counted_check check;
  run_here([]() -> task<> {
    auto body = [owned = counted(6)](brood::nursery&) -> task<int> { co_return owned.value; };
    const int copied = co_await brood::with_nursery(body);
    const int referred = co_await brood::with_nursery(std::ref(body));
    CHECK(copied + referred == 12);
    auto move_only = [owned = std::make_unique<int>(7)](brood::nursery&) -> task<int> { co_return *owned; };
    const int seven = co_await brood::with_nursery(std::ref(move_only));
    CHECK(seven == 7);
    const int wrapped = co_await brood::with_nursery(std::function<task<int>(brood::nursery&)>(body));
    CHECK(wrapped == 6);
  });
}

TEST_CASE("operations that are aggregates are given by name") {
  counted_check check;
  run_here([]() -> task<> {
    const operation op{counted(8)};
    auto [a, b] = co_await brood::when_all(op, brood::sleep_for(1s));
    const auto any = co_await brood::when_any(op, op);
    const int timed = co_await brood::with_timeout(1s, op);
    CHECK(a == 8);
    CHECK(std::get<0>(any) == 8);
    CHECK(timed == 8);
    static_cast<void>(b);
  });
}

TEST_CASE("a generator yields names, and what is returned may be braced") {
  counted_check check;
  run_here([]() -> task<> {
    auto make = []() -> brood::generator<job> {
      job item{counted(1)};
      co_yield item;
      co_yield moved{item};
    };
    auto values = make();
    auto first = co_await values.next();
    auto second = co_await values.next();
    CHECK(first->payload.value == 1);
    CHECK(second->payload.value == 1);

    auto returned = []() -> task<job> { co_return job{.payload = counted(2), .number = 1}; };
    auto braced = []() -> task<job> { co_return {counted(3), 1}; };
    const job two = co_await returned();
    const job three = co_await braced();
    CHECK(two.payload.value + three.payload.value == 5);
  });
}
