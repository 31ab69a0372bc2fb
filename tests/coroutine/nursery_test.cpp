// with_nursery: leaving it joins everything, the first error cancels the rest.
#include "brood/coroutine/nursery.hpp"

#include <memory>
#include <stdexcept>
#include <string>

#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "counted.hpp"
#include "test_loop.hpp"

using namespace std::chrono_literals;
using brood::nursery;
using brood::task;

namespace {

task<> sleep_and_count(brood::clock::duration d, int& ended) {
  counted here;
  co_await brood::sleep_for(d);
  ++ended;
}
task<> fail_after(brood::clock::duration d, std::string text) {
  co_await brood::sleep_for(d);
  throw std::runtime_error(text);
}
task<> for_ever(int& cancelled_count) {
  counted here;
  try {
    co_await brood::sleep_for(10'000h);
  } catch (const brood::cancelled&) {
    ++cancelled_count;
    throw;
  }
}

}  // namespace

TEST_CASE("a nursery constructed and never used starts nothing and frees its body") {
  counted_check check;
  auto body = [value = counted(1)](nursery&) -> task<> { co_return; };
  {
    auto unused = brood::with_nursery(body);
    CHECK(counted::live == 2);
  }
  CHECK(counted::live == 1);
}

TEST_CASE("an empty nursery ends; a body's result is given") {
  run_here([]() -> task<> {
    co_await brood::with_nursery([](nursery&) -> task<> { co_return; });
    const auto value = co_await brood::with_nursery(
        [](nursery&) -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); });
    CHECK(*value == 3);
    int variable = 1;
    int& reference = co_await brood::with_nursery([&](nursery&) -> task<int&> { co_return variable; });
    CHECK(&reference == &variable);
  });
}

TEST_CASE("leaving a nursery joins everything") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) n.start(sleep_and_count(std::chrono::seconds(i), ended));
      CHECK(n.running() == 10);  // the body is not beside itself
      co_return;
    });
    CHECK(ended == 10);
    CHECK(counted::live == 0);
  });
}

TEST_CASE("a task may start more, also when the body has ended") {
  int ended = 0;
  run_here([&]() -> task<> {
    auto starter = [&](nursery& n) -> task<> {
      co_await brood::sleep_for(1s);
      n.start(sleep_and_count(1s, ended));
      n.start(sleep_and_count(2s, ended));
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(starter(n));
      co_return;
    });
  });
  CHECK(ended == 2);
}

TEST_CASE(
    "a task started from outside, after the last one ended and before the nursery was left, is joined") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    nursery* inner = nullptr;
    bool body_ends = false;
    auto run_inner = [&]() -> task<> {
      co_await brood::with_nursery([&](nursery& n) -> task<> {
        inner = &n;
        co_await brood::yield();
        body_ends = true;
      });
      CHECK(ended == 1);
      inner = nullptr;
    };
    // Started by a node that is ahead of the one by which the inner nursery is left.
    auto late = [&]() -> task<> {
      while (inner == nullptr) co_await brood::yield();
      while (!body_ends) co_await brood::yield();
      inner->start(sleep_and_count(1s, ended));
    };
    co_await brood::with_nursery([&](nursery& outer) -> task<> {
      outer.start(late());
      outer.start(run_inner());
      co_return;
    });
  });
  CHECK(ended == 1);
}

TEST_CASE("the first error cancels the rest and is rethrown when all have ended") {
  counted_check check;
  int cancelled_count = 0;
  run_here([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      n.start(for_ever(cancelled_count));
      n.start(fail_after(2s, "second"));
      n.start(fail_after(1s, "first"));
      co_await for_ever(cancelled_count);
    };
    CHECK_THROWS_WITH(co_await brood::with_nursery(std::ref(body)), "first");
    CHECK(cancelled_count == 2);
    CHECK(counted::live == 0);
  });
}

TEST_CASE("an error of the body cancels the tasks") {
  counted_check check;
  int cancelled_count = 0;
  run_here([&]() -> task<> {
    auto body = [&](nursery& n) -> task<int> {
      n.start(for_ever(cancelled_count));
      co_await brood::yield();
      throw std::runtime_error("body");
    };
    CHECK_THROWS_WITH(co_await brood::with_nursery(std::ref(body)), "body");
    CHECK(cancelled_count == 1);
  });
}

TEST_CASE("a body that throws before its coroutine begins is an error of the nursery") {
  run_here([]() -> task<> {
    auto body = [](nursery&) -> task<> { throw std::runtime_error("not even begun"); };
    CHECK_THROWS_WITH(co_await brood::with_nursery(std::ref(body)), "not even begun");
  });
}

TEST_CASE("an error during the unwinding of a cancelled nursery is reported unless there was one before") {
  run_here([]() -> task<> {
    auto fail_when_cancelled = []() -> task<> {
      try {
        co_await brood::sleep_for(1h);
      } catch (const brood::cancelled&) {
        throw std::runtime_error("clean-up failed");
      }
    };
    auto cancelling = [&](nursery& n) -> task<> {
      n.start(fail_when_cancelled());
      co_await brood::yield();
      n.cancel();
    };
    CHECK_THROWS_WITH(co_await brood::with_nursery(std::ref(cancelling)), "clean-up failed");
    auto failing = [&](nursery& n) -> task<> {
      n.start(fail_when_cancelled());
      co_await brood::yield();
      throw std::runtime_error("before");
    };
    CHECK_THROWS_WITH(co_await brood::with_nursery(std::ref(failing)), "before");
  });
}

TEST_CASE("cancel ends everything and is no error") {
  counted_check check;
  int cancelled_count = 0;
  run_here([&]() -> task<> {
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(for_ever(cancelled_count));
      co_await brood::yield();
      n.cancel();
      n.cancel();
    });
    CHECK(cancelled_count == 1);
    // The body too may be what is cancelled.
    auto cancel = [](nursery& n) -> task<> {
      n.cancel();
      co_return;
    };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(cancel(n));
      co_await for_ever(cancelled_count);
    });
    CHECK(cancelled_count == 2);
    // Unless it owes a result.
    auto owing = [&](nursery& n) -> task<int> {
      n.cancel();
      co_await brood::sleep_for(1h);
      co_return 1;
    };
    CHECK_THROWS_AS(co_await brood::with_nursery(std::ref(owing)), brood::cancelled);
  });
}

TEST_CASE("a result is given although the nursery was cancelled by itself") {
  int cancelled_count = 0;
  run_here([&]() -> task<> {
    const int value = co_await brood::with_nursery([&](nursery& n) -> task<int> {
      n.start(for_ever(cancelled_count));
      co_await brood::yield();
      n.cancel();
      co_return 5;
    });
    CHECK(value == 5);
    CHECK(cancelled_count == 1);
  });
}

TEST_CASE("a nursery cancelled from outside cancels all, awaits all and throws cancelled") {
  counted_check check;
  int cancelled_count = 0;
  run_here([&]() -> task<> {
    auto inner = [&]() -> task<> {
      co_await brood::with_nursery([&](nursery& n) -> task<> {
        n.start(for_ever(cancelled_count));
        co_await for_ever(cancelled_count);
      });
    };
    CHECK_THROWS_AS(co_await brood::with_timeout(1s, inner()), brood::timed_out);
    CHECK(cancelled_count == 2);
    CHECK(counted::live == 0);
  });
}

TEST_CASE("a nursery in a scope that is cancelled already runs its body to the first wait") {
  bool began = false;
  bool was_cancelled = false;
  run_here([&]() -> task<> {
    co_await brood::with_nursery([&](nursery& outer) -> task<> {
      outer.cancel();
      auto body = [&](nursery&) -> task<> {
        began = true;
        co_await brood::sleep_for(1h);
      };
      CHECK_THROWS_AS(co_await brood::with_nursery(std::ref(body)), brood::cancelled);
      was_cancelled = true;
    });
  });
  CHECK(began);
  CHECK(was_cancelled);
}

TEST_CASE("nurseries nest; an inner error that is caught leaves the outer one running") {
  int ended = 0;
  run_here([&]() -> task<> {
    co_await brood::with_nursery([&](nursery& outer) -> task<> {
      outer.start(sleep_and_count(10s, ended));
      auto failing = [](nursery& inner) -> task<> {
        inner.start(fail_after(1s, "inner"));
        co_return;
      };
      CHECK_THROWS_WITH(co_await brood::with_nursery(std::ref(failing)), "inner");
      CHECK(ended == 0);
    });
  });
  CHECK(ended == 1);
}

TEST_CASE("any awaitable can be started; its result is dropped") {
  counted_check check;
  run_here([]() -> task<> {
    auto give = []() -> task<counted> { co_return counted(1); };
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      n.start(brood::sleep_for(1s));
      n.start(give());
      co_return;
    });
  });
}

TEST_CASE("100,000 tasks in a nursery end, and are cancelled") {
  counted_check check;
  int ended = 0;
  run_here([&]() -> task<> {
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 100'000; ++i) n.start(sleep_and_count(std::chrono::milliseconds(i % 1000), ended));
      co_return;
    });
    CHECK(ended == 100'000);
    int cancelled_count = 0;
    co_await brood::with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 100'000; ++i) n.start(for_ever(cancelled_count));
      co_await brood::yield();
      n.cancel();
    });
    CHECK(cancelled_count == 100'000);
  });
}
