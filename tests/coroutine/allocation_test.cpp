// What scopes and waits allocate: nothing but the frames of coroutines.
#include <cstdlib>
#include <new>
#include <vector>

#include "brood/coroutine/async_event.hpp"
#include "brood/coroutine/async_mutex.hpp"
#include "brood/coroutine/async_semaphore.hpp"
#include "brood/coroutine/channel.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/oneshot.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "test_loop.hpp"

namespace {
std::size_t allocations = 0;
}

// Not inlined: GCC would see memory of one kind given back as another.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* made = std::malloc(size)) return made;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

using brood::task;
using brood::detail::linked_scope;
using brood::detail::local_event;

namespace {

task<> wait_in(linked_scope& scope, local_event& event, std::size_t& allocated) {
  co_await brood::detail::enter_scope(scope);
  const std::size_t before = allocations;
  try {
    co_await event.wait();
  } catch (const brood::cancelled&) {
    allocated = allocations - before;
  }
}

}  // namespace

TEST_CASE("a scope that is linked to another allocates nothing") {
  const std::size_t before = allocations;
  {
    linked_scope parent(nullptr);
    linked_scope child(&parent);
    parent.request_stop();
  }
  CHECK(allocations == before);
}

TEST_CASE("a cancelled wait allocates nothing") {
  test_loop loop;
  for (int i = 0; i < 2; ++i) {  // the text of `cancelled` is made once
    linked_scope scope(nullptr);
    local_event event;
    std::size_t allocated = SIZE_MAX;
    brood::detail::task_group group(nullptr);
    group.start(wait_in(scope, event, allocated));
    loop.settle();
    const std::size_t before = allocations;
    scope.request_stop();
    loop.settle();
    CHECK(group.running() == 0);
    if (i == 0) continue;
    CHECK(allocated == 0);
    CHECK(allocations == before);
  }
}

TEST_CASE("when_all, when_any's and nurseries' operations take one frame each") {
  static constexpr std::size_t many = 100;
  test_loop loop;
  loop.run([]() -> task<> {
    std::vector<brood::yield> operations(many);
    const std::size_t before = allocations;
    co_await brood::when_all(std::move(operations));
    const std::size_t for_all = allocations - before;
    CHECK(for_all <= many + 4);
    co_await brood::with_nursery([](brood::nursery& n) -> task<> {
      const std::size_t at_first = allocations;
      for (std::size_t i = 0; i < many; ++i) n.start(brood::yield());
      const std::size_t for_starts = allocations - at_first;
      CHECK(for_starts == many);
      co_return;
    });
  }());
}

TEST_CASE("a timeout takes one frame beside the operation's own") {
  test_loop loop;
  loop.run([]() -> task<> {
    co_await brood::sleep_for(std::chrono::seconds(1));  // the loop has room for a timer
    const std::size_t before = allocations;
    co_await brood::with_timeout(std::chrono::hours(1), brood::yield());
    const std::size_t taken = allocations - before;
    CHECK(taken == 1);
  }());
}

TEST_CASE("what works within one loop allocates nothing, but a channel its room") {
  test_loop loop;
  loop.run([]() -> task<> {
    const std::size_t before = allocations;
    brood::async_event event;
    brood::async_mutex mutex;
    brood::async_semaphore semaphore(2);
    brood::oneshot<int> value;
    for (int i = 0; i < 10; ++i) {
      event.set();
      co_await event.wait();
      const auto held = co_await mutex.acquire();
      const auto permit = co_await semaphore.acquire(2);
    }
    value.set(1);
    static_cast<void>(co_await value.get());
    const std::size_t taken = allocations - before;
    CHECK(taken == 0);

    brood::channel<int> channel(4);
    const std::size_t with_room = allocations;
    for (int i = 0; i < 10; ++i) {
      co_await channel.put(i);
      static_cast<void>(co_await channel.get());
    }
    const std::size_t for_items = allocations - with_room;
    CHECK(for_items == 0);
  }());
}

TEST_CASE("to wait for what another coroutine has allocates nothing either") {
  test_loop loop;
  brood::async_mutex mutex;
  brood::channel<int> channel(1);
  const auto take_turns = [&]() -> task<> {
    for (int i = 0; i < 10; ++i) {
      const auto held = co_await mutex.acquire();
      co_await brood::yield();
      co_await channel.put(i);
    }
  };
  const auto consume = [&]() -> task<> {
    for (int i = 0; i < 20; ++i) static_cast<void>(co_await channel.get());
  };
  brood::detail::task_group group(nullptr);
  group.start(take_turns());
  group.start(take_turns());
  group.start(consume());
  const std::size_t before = allocations;
  loop.settle();
  const std::size_t taken = allocations - before;
  CHECK(group.running() == 0);
  CHECK(taken == 0);
}
