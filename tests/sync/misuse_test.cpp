// What is awaited twice, or on a thread whose loop it does not belong to, says so.
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

#include "brood/channel/pipe.hpp"
#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "brood/sync/barrier.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/lock.hpp"
#include "brood/sync/semaphore.hpp"
#include "catch.hpp"
#include "memory.hpp"

using namespace brood;
using test::in_loop;
using test::memory;
using test::throws;

namespace {

/// Awaits it, then once more.
template <class Operation>
task<bool> refuses_twice(Operation operation) {
  static_cast<void>(co_await std::move(operation));
  bool refused = false;
  try {
    static_cast<void>(co_await std::move(operation));
  } catch (const std::logic_error&) {
    refused = true;
  }
  co_return refused;
}

template <class Operation>
  requires std::is_void_v<detail::await_result_t<Operation>>
task<bool> refuses_twice(Operation operation) {
  co_await std::move(operation);
  bool refused = false;
  try {
    co_await std::move(operation);
  } catch (const std::logic_error&) {
    refused = true;
  }
  co_return refused;
}

/// Whether awaiting what `make` gives, on a thread with a loop of its own, says that this is the wrong one.
template <class Make>
bool refuses_elsewhere(Make make) {
  bool refused = false;
  std::thread([&] {
    try {
      sync_wait(make());
    } catch (const wrong_thread&) {
      refused = true;
    }
  }).join();
  return refused;
}

}  // namespace

TEST_CASE("an operation that is awaited twice says so, as a task does") {
  memory m;
  in_loop([]() -> task<> {
    queue<std::string> q(8);
    for (int i = 0; i < 4; ++i) q.try_put("x");
    bool refused = co_await refuses_twice(q.put("y"));
    CHECK(refused);
    refused = co_await refuses_twice(q.get());
    CHECK(refused);
    refused = co_await refuses_twice(q.get_leased());
    CHECK(refused);
    const lock l;
    refused = co_await refuses_twice(l.acquire());
    CHECK(refused);
    const semaphore s(2);
    refused = co_await refuses_twice(s.acquire());
    CHECK(refused);
    const event e;
    e.set();
    refused = co_await refuses_twice(e.wait());
    CHECK(refused);
    const barrier b(1);
    refused = co_await refuses_twice(b.arrive());
    CHECK(refused);
    auto [first, second] = pipe<int, int>();
    refused = co_await refuses_twice(first.send(1));
    CHECK(refused);
    refused = co_await refuses_twice(second.recv());
    CHECK(refused);
  });
}

TEST_CASE("what was moved out of cannot be awaited") {
  memory m;
  in_loop([]() -> task<> {
    queue<int> q(8);
    q.try_put(1);
    auto get = q.get();
    auto taken = std::move(get);
    const bool refused = co_await throws<std::logic_error>(std::move(get));
    CHECK(refused);
    const int value = co_await std::move(taken);
    CHECK(value == 1);
  });
}

TEST_CASE("shared objects that are awaited on a second thread's loop say so") {
  memory m;
  queue<int> q(8);
  q.try_put(1);
  const lock l;
  const event e;
  e.set();
  runtime loop;
  CHECK(loop.run_until_complete(q.get()) == 1);
  CHECK(refuses_elsewhere([&] { return q.put(2); }));
  CHECK(refuses_elsewhere([&] { return e.wait(); }));
  CHECK(refuses_elsewhere([&]() -> task<> { auto held = co_await l.acquire(); }));
  CHECK(q.empty());
  CHECK_FALSE(l.locked());
  loop.run_until_complete(q.put(3));
  CHECK(q.try_get() == 3);
}

TEST_CASE("when the runtime that used shared objects has ended, another thread's may") {
  memory m;
  queue<int> q(8);
  {
    runtime loop;
    loop.run_until_complete(q.put(1));
  }
  CHECK_FALSE(refuses_elsewhere([&] { return q.put(2); }));
  runtime loop;
  loop.run_until_complete(q.put(3));
  CHECK(q.size() == 3);
}

TEST_CASE("a task that is started on another thread than its loop's says so, and nothing of it has run") {
  runtime loop;
  bool ran = false;
  const auto body = [&]() -> task<> {
    ran = true;
    co_return;
  };
  int refused = 0;
  std::thread([&] {
    const auto count = [&](auto act) {
      try {
        act();
      } catch (const wrong_thread&) {
        ++refused;
      }
    };
    count([&] { loop.start(body()); });
    count([&] { loop.run(); });
    count([&] { loop.run_until_complete(body()); });
    runtime own;
    count([&] { loop.start(body()); });
    count([&] { loop.run_until_complete(body()); });
  }).join();
  CHECK(refused == 5);
  CHECK_FALSE(ran);
  loop.run();
}

TEST_CASE("a nursery that is given a task on another thread says so") {
  runtime loop;
  bool refused = false;
  loop.run_until_complete(with_nursery([&](nursery& n) -> task<> {
    std::thread([&] {
      runtime other;
      try {
        n.start(yield());
      } catch (const wrong_thread&) {
        refused = true;
      }
    }).join();
    co_return;
  }));
  CHECK(refused);
}
