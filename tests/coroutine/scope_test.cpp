// Scopes and cancellation: the stop token goes down the tasks, the event that came first wins.
#include "brood/coroutine/detail/scope.hpp"

#include <stop_token>
#include <vector>

#include "brood/coroutine/detail/suspension.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::task;
using brood::detail::linked_scope;
using brood::detail::local_event;

namespace {

/// Takes from a store when the event comes; gives back if asked to before it went on.
struct store {
  int items = 0;
  int given_back = 0;
  struct taker;
  taker* waiting = nullptr;
  void put();
};

struct store::taker : brood::detail::suspension<store::taker> {
  explicit taker(store& s) : from(s) {}
  bool await_ready() const noexcept { return false; }
  void await_resume() { take(); }
  void start() noexcept { from.waiting = this; }
  void abandon() noexcept { from.waiting = nullptr; }
  bool give_back() noexcept {
    ++from.items;
    ++from.given_back;
    return true;
  }
  using suspension::complete;
  store& from;
};

void store::put() {
  if (waiting != nullptr) std::exchange(waiting, nullptr)->complete();
}

/// As above, but what came is kept.
struct keeper : brood::detail::suspension<keeper> {
  explicit keeper(keeper*& where) : place(where) {}
  bool await_ready() const noexcept { return false; }
  void await_resume() { take(); }
  void start() noexcept { place = this; }
  void abandon() noexcept { place = nullptr; }
  using suspension::complete;
  keeper*& place;
};

}  // namespace

TEST_CASE("a scope constructed and never used stops nothing") {
  linked_scope parent(nullptr);
  {
    linked_scope child(&parent);
    CHECK_FALSE(child.token.stop_requested());
  }
  parent.request_stop();
  CHECK(parent.token.stop_requested());
}

TEST_CASE("a stop goes down and not up") {
  linked_scope parent(nullptr);
  linked_scope child(&parent);
  linked_scope sibling(&parent);
  child.request_stop();
  CHECK_FALSE(parent.token.stop_requested());
  CHECK_FALSE(sibling.token.stop_requested());
  parent.request_stop();
  CHECK(sibling.token.stop_requested());
  linked_scope late(&parent);
  CHECK(late.token.stop_requested());
}

TEST_CASE("this_task::stop_token is the one of the scope the task runs in") {
  run_here([]() -> task<> {
    co_await brood::with_nursery([](brood::nursery& n) -> task<> {
      const std::stop_token mine = co_await brood::this_task::stop_token();
      auto nested = []() -> task<std::stop_token> { co_return co_await brood::this_task::stop_token(); };
      const std::stop_token inherited = co_await nested();
      CHECK(inherited == mine);
      CHECK(mine.stop_possible());
      CHECK_FALSE(mine.stop_requested());
      n.cancel();
      CHECK(mine.stop_requested());
    });
  });
}

TEST_CASE("an event that came first wins over a stop, unless it can be given back") {
  store shop;
  keeper* place = nullptr;
  bool kept = false;
  bool gave_back = false;
  run_here([&]() -> task<> {
    auto take = [&]() -> task<> {
      CHECK_THROWS_AS(co_await store::taker(shop), brood::cancelled);
      gave_back = true;
    };
    auto keep = [&]() -> task<> {
      co_await keeper(place);
      kept = true;
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(take());
      n.start(keep());
      while (place == nullptr) co_await brood::yield();
      shop.put();
      place->complete();
      n.cancel();  // posted, not yet resumed
    });
  });
  CHECK(kept);
  CHECK(gave_back);
  CHECK(shop.given_back == 1);
  CHECK(shop.items == 1);
}

TEST_CASE("a stop while suspended leaves what was waited in") {
  store shop;
  run_here([&]() -> task<> {
    auto take = [&]() -> task<> { co_await store::taker(shop); };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(take());
      while (shop.waiting == nullptr) co_await brood::yield();
      n.cancel();
    });
  });
  CHECK(shop.waiting == nullptr);
  CHECK(shop.given_back == 0);
}

TEST_CASE("a stop after the end does nothing") {
  run_here([]() -> task<> {
    co_await brood::with_nursery([](brood::nursery& n) -> task<> {
      local_event done;
      done.set();
      co_await done.wait();
      n.cancel();
      co_await done.wait();  // set: nothing to wait for
      n.cancel();
    });
  });
}

TEST_CASE("a local event wakes its waiters in order, once") {
  std::vector<int> log;
  run_here([&]() -> task<> {
    local_event event;
    auto wait = [&](int number) -> task<> {
      co_await event.wait();
      log.push_back(number);
      co_await event.wait();
      log.push_back(number + 10);
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(wait(1));
      n.start(wait(2));
      co_await brood::yield();
      event.notify_all();
      co_await brood::yield();
      CHECK(log == std::vector<int>{1, 2});
      event.set();
    });
    CHECK(event.is_set());
  });
  CHECK(log == std::vector<int>{1, 2, 11, 12});
}

TEST_CASE("a waiter that was woken and then cancelled is cancelled: being woken takes nothing") {
  int cancelled = 0;
  run_here([&]() -> task<> {
    local_event event;
    auto wait = [&]() -> task<> {
      CHECK_THROWS_AS(co_await event.wait(), brood::cancelled);
      ++cancelled;
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(wait());
      n.start(wait());
      co_await brood::yield();
      event.notify_all();
      n.cancel();
    });
  });
  CHECK(cancelled == 2);
}

TEST_CASE("cancellation unwinds every frame") {
  counted_check check;
  struct recursion {
    static task<> down(int depth) {
      counted here(depth);
      if (depth == 0) {
        co_await brood::sleep_for(1h);
      } else {
        co_await down(depth - 1);
      }
    }
  };
  run_here([]() -> task<> {
    co_await brood::with_nursery([](brood::nursery& n) -> task<> {
      n.start(recursion::down(100));
      co_await brood::yield();
      co_await brood::yield();
      CHECK(counted::live == 101);
      n.cancel();
    });
    CHECK(counted::live == 0);
  });
}
