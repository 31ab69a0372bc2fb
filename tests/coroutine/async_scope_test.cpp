// async_scope, from_callback, retry, ticker, broadcast: what stands on the waits within one process.
#include "brood/coroutine/async_scope.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "brood/coroutine/async_event.hpp"
#include "brood/coroutine/broadcast.hpp"
#include "brood/coroutine/from_callback.hpp"
#include "brood/coroutine/retry.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/ticker.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::async_scope;
using brood::broadcast;
using brood::callback;
using brood::nursery;
using brood::task;

namespace {

task<> sleep_and_count(brood::clock::duration d, int& ended) {
  counted here;
  co_await brood::sleep_for(d);
  ++ended;
}
task<> fail_after(brood::clock::duration d) {
  co_await brood::sleep_for(d);
  throw std::runtime_error("no luck");
}

/// An interface in the manner of C: one request at a time, whose callback comes when `answer` is called.
struct c_library {
  void (*on_answer)(void*, int) = nullptr;
  void* user = nullptr;
  bool stopped = false;

  void ask(void (*function)(void*, int), void* data) {
    on_answer = function;
    user = data;
  }
  void answer(int value) { std::exchange(on_answer, nullptr)(user, value); }
};

task<int> ask(c_library& c) {
  const auto start = [&](callback<int> done) {
    c.ask([](void* data, int value) { callback<int>::from(data)(value); }, done.data());
  };
  co_return co_await brood::from_callback<int>(start);
}

}  // namespace

TEST_CASE("a scope constructed and never used runs nothing, and joins at once") {
  run_here([]() -> task<> {
    const async_scope unused;
    CHECK(unused.running() == 0);
    async_scope empty;
    co_await empty.join();
    co_await empty.join();
  });
}

TEST_CASE("a scope joins what was started in it, and can go on") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    async_scope scope;
    for (int i = 0; i < 3; ++i) scope.start(sleep_and_count(1s, ended));
    CHECK(scope.running() == 3);
    co_await scope.join();
    CHECK(ended == 3);
    scope.start(sleep_and_count(1s, ended));
    co_await scope.join();
  });
  CHECK(ended == 4);
}

TEST_CASE("the first error in a scope stops the others and is thrown by join") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    async_scope scope;
    scope.start(sleep_and_count(10'000h, ended));
    scope.start(fail_after(1s));
    CHECK_THROWS_AS(co_await scope.join(), std::runtime_error);
    CHECK(scope.running() == 0);
  });
  CHECK(ended == 0);
}

TEST_CASE(
    "a scope that is cancelled ends without an error; a join that is cancelled cancels it and awaits it") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    async_scope scope;
    scope.start(sleep_and_count(10'000h, ended));
    co_await brood::yield();
    scope.cancel();
    co_await scope.join();
    async_scope other;
    other.start(sleep_and_count(10'000h, ended));
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, other.join()), brood::timed_out);
    CHECK(other.running() == 0);
  });
  CHECK(ended == 0);
}

TEST_CASE("a callback's value is awaited, also if it comes at once; a second one is ignored") {
  run_here([]() -> task<> {
    c_library c;
    {
      const auto never_awaited = ask(c);
    }
    CHECK(c.on_answer == nullptr);
    auto wait = [&]() -> task<> {
      const int value = co_await ask(c);
      CHECK(value == 7);
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(wait());
      co_await brood::yield();
      c.answer(7);
    });
    const auto at_once = [](callback<std::string> done) {
      done("first");
      done("second");
      done.fail(std::make_exception_ptr(std::runtime_error("third")));
    };
    const std::string first = co_await brood::from_callback<std::string>(at_once);
    CHECK(first == "first");
    const auto failing = [](callback<> done) {
      done.fail(std::make_exception_ptr(std::runtime_error("no luck")));
    };
    CHECK_THROWS_AS(co_await brood::from_callback(failing), std::runtime_error);
    const auto refused = [](callback<>) { throw std::invalid_argument("it cannot begin"); };
    CHECK_THROWS_AS(co_await brood::from_callback(refused), std::invalid_argument);
  });
}

TEST_CASE("what cannot be cancelled is awaited; what can is asked to end, and the callback decides") {
  run_here([]() -> task<> {
    for (const bool never_called : {false, true}) {
      c_library c;
      int result = 0;
      bool cancelled = false;
      auto wait = [&]() -> task<> {
        const auto start = [&](callback<int> done) {
          c.ask([](void* data, int value) { callback<int>::from(data)(value); }, done.data());
        };
        const auto stop = [&] { return c.stopped = never_called, never_called; };
        try {
          result = co_await brood::from_callback<int>(start, stop);
        } catch (const brood::cancelled&) {
          cancelled = true;
        }
      };
      auto answer_later = [&]() -> task<> {
        co_await brood::sleep_for(1s);
        if (!never_called) c.answer(3);
      };
      co_await brood::with_nursery([&](nursery& outer) -> task<> {
        co_await brood::with_nursery([&](nursery& n) -> task<> {
          n.start(wait());
          co_await brood::yield();
          outer.start(answer_later());
          n.cancel();
        });
        CHECK(cancelled == never_called);
        CHECK(result == (never_called ? 0 : 3));
      });
    }
  });
}

TEST_CASE("retry tries again until it works, and throws the last error") {
  run_here([]() -> task<> {
    int tries = 0;
    const auto third_time = [&]() -> task<int> {
      if (++tries < 3) throw std::runtime_error(std::to_string(tries));
      co_return tries;
    };
    brood::retry_policy policy;
    const int value = co_await brood::retry(policy, third_time);
    CHECK(value == 3);
    policy.attempts = 2;
    tries = 0;
    std::string last;
    try {
      static_cast<void>(co_await brood::retry(policy, third_time));
    } catch (const std::runtime_error& e) {
      last = e.what();
    }
    CHECK(last == "2");
    tries = 0;
    const auto never = [](const std::exception_ptr&) { return false; };
    CHECK_THROWS_AS(static_cast<void>(co_await brood::retry(policy, third_time, never)), std::runtime_error);
    CHECK(tries == 1);
    policy.attempts = 0;
    CHECK_THROWS_AS(static_cast<void>(co_await brood::retry(policy, third_time)), std::invalid_argument);
    CHECK(tries == 1);
  });
}

TEST_CASE("pauses between attempts grow up to the longest, and are cancelled at once") {
  test_loop loop;
  const auto begin = loop.now;
  loop.run([&]() -> task<> {
    std::vector<brood::clock::duration> at;
    const auto fail = [&]() -> task<> {
      at.push_back(loop.now - begin);
      throw std::runtime_error("no luck");
      co_return;
    };
    brood::retry_policy policy;
    policy.jitter = 0;
    policy.first_pause = 1h;
    policy.longest_pause = 3h;
    CHECK_THROWS_AS(co_await brood::retry(policy, fail), std::runtime_error);
    // The loop's clock jumps, while a pause is counted from the real one, which stands still: each is seen alone.
    const std::vector<std::chrono::hours> expected{0h, 1h, 2h, 3h, 3h};
    CHECK(at.size() == expected.size());
    for (std::size_t i = 0; i < std::min(at.size(), expected.size()); ++i) {
      CHECK(std::chrono::round<std::chrono::hours>(at[i]) == expected[i]);
    }
    CHECK_THROWS_AS(co_await brood::with_timeout(1min, brood::retry(policy, fail)), brood::timed_out);
    CHECK(at.size() == expected.size() + 1);
  }());
}

TEST_CASE("a ticker ticks at equal distances; a wait that is cancelled loses none") {
  test_loop loop;
  const auto begin = loop.now;
  loop.run([&]() -> task<> {
    CHECK_THROWS_AS(brood::ticker(0s), std::invalid_argument);
    brood::ticker every_hour(1h);
    for (int i = 1; i <= 3; ++i) {
      CHECK_THROWS_AS(static_cast<void>(co_await brood::with_timeout(1min, every_hour.next())),
                      brood::timed_out);
      const auto passed = co_await every_hour.next();
      CHECK(passed == 1);
      CHECK(std::chrono::round<std::chrono::hours>(loop.now - begin) == std::chrono::hours(i));
    }
  }());
}

TEST_CASE("every subscriber gets every item; one that is too slow is told how many it missed") {
  counted_check check;
  run_here([]() -> task<> {
    CHECK_THROWS_AS(broadcast<int>(0), std::invalid_argument);
    broadcast<counted> news(2);
    auto early = news.subscribe();
    news.send(counted(1));
    auto late = news.subscribe();
    news.send(counted(2));
    const auto one = co_await early.next();
    CHECK(one->value == 1);
    const auto two = co_await late.next();
    CHECK(two->value == 2);
    news.send(counted(3));
    news.send(counted(4));
    CHECK(early.behind() == 3);
    std::uint64_t missed = 0;
    try {
      static_cast<void>(co_await early.next());
    } catch (const brood::lagged& e) {
      missed = e.missed;
    }
    CHECK(missed == 1);
    const auto three = co_await early.next();
    CHECK(three->value == 3);
  });
}

TEST_CASE("a subscriber waits for an item or the end; cancelled it has read nothing") {
  counted_check check;
  run_here([]() -> task<> {
    broadcast<counted> news(2);
    auto mine = news.subscribe();
    CHECK_THROWS_AS(static_cast<void>(co_await brood::with_timeout(1s, mine.next())), brood::timed_out);
    std::vector<int> log;
    auto read_all = [&](broadcast<counted>::subscriber from) -> task<> {
      while (const auto item = co_await from.next()) log.push_back(item->value);
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(read_all(news.subscribe()));
      n.start(read_all(news.subscribe()));
      co_await brood::yield();
      CHECK(news.waiting() == 2);
      news.send(counted(1));
      co_await brood::yield();
      news.close();
    });
    CHECK(log == std::vector<int>{1, 1});
    CHECK_THROWS_AS(news.send(counted(2)), brood::closed);
    const auto kept = co_await mine.next();
    CHECK(kept->value == 1);
    const auto end = co_await mine.next();
    CHECK_FALSE(end);
  });
}

TEST_CASE("several may join one scope") {
  run_here([]() -> task<> {
    async_scope scope;
    brood::async_event end;
    int joined = 0;
    auto work = [&]() -> task<> { co_await end.wait(); };
    auto join = [&]() -> task<> {
      co_await scope.join();
      ++joined;
    };
    scope.start(work());
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(join());
      n.start(join());
      co_await brood::yield();
      end.set();
    });
    CHECK(joined == 2);
  });
}
