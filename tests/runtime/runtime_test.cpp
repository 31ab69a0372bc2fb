// runtime: tasks on a loop of its own, posting from other threads, and an end that leaves nothing.
#include "brood/runtime/runtime.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/signal_watch.hpp"
#include "counted.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::runtime;
using brood::task;

namespace {

task<> for_ever(int& cancelled_count) {
  counted here;
  try {
    co_await brood::sleep_for(1h);
  } catch (const brood::cancelled&) {
    ++cancelled_count;
    throw;
  }
}

}  // namespace

TEST_CASE("a runtime constructed and never used leaves nothing") {
  const leftovers before = leftovers::now();
  CHECK(runtime::current_or_null() == nullptr);
  {
    runtime unused;
    CHECK(runtime::current_or_null() == &unused);
    CHECK(&runtime::current() == &unused);
    CHECK_THROWS_AS(runtime(), std::logic_error);  // one a thread
    CHECK(&runtime::current() == &unused);
  }
  CHECK(runtime::current_or_null() == nullptr);
  CHECK_THROWS_AS(runtime::current(), std::logic_error);
  CHECK(leftovers::now() == before);
}

TEST_CASE("a task runs to its end and gives its result or throws") {
  run_clean([]() -> task<> { co_await brood::sleep_for(1ms); });
  runtime loop;
  auto owner = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(3); };
  CHECK(*loop.run_until_complete(owner()) == 3);
  int variable = 0;
  auto refer = [&]() -> task<int&> { co_return variable; };
  CHECK(&static_cast<int&>(loop.run_until_complete(refer())) == &variable);
  auto fail = []() -> task<> {
    co_await brood::yield();
    throw std::runtime_error("failed");
  };
  CHECK_THROWS_WITH(loop.run_until_complete(fail()), "failed");
  loop.run_until_complete(brood::sleep_for(1ms));
}

TEST_CASE("a sleep until long before the clock began is over at once") {
  runtime loop;
  loop.run_until_complete(brood::sleep_until(brood::clock::time_point::min()));
  CHECK_THROWS_AS(
      loop.run_until_complete(brood::with_timeout(1ms, brood::sleep_for(std::chrono::hours::max()))),
      brood::timed_out);
}

TEST_CASE("sleeping never takes less than the time asked for") {
  runtime loop;
  for (const auto d : {0us, 1us, 999us, 1000us, 1001us, 2500us}) {
    const auto begin = brood::clock::now();
    loop.run_until_complete(brood::sleep_for(d));
    CHECK(brood::clock::now() - begin >= d);
  }
}

TEST_CASE("timers of many sleepers end in order") {
  run_clean([]() -> task<> {
    std::vector<int> log;
    auto sleeper = [&](int n) -> task<> {
      co_await brood::sleep_for(std::chrono::milliseconds(2 * n));
      log.push_back(n);
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (int i = 9; i >= 0; --i) n.start(sleeper(i));
      co_return;
    });
    CHECK(log == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  });
}

TEST_CASE("started tasks run beside each other, and run ends with the last of them") {
  counted_check check;
  runtime loop;
  int ended = 0;
  std::exception_ptr failure;
  auto work = [&](std::chrono::milliseconds d, counted) -> task<> {
    co_await brood::sleep_for(d);
    ++ended;
  };
  auto fail = []() -> task<> {
    throw std::runtime_error("reported");
    co_return;
  };
  loop.start(work(2ms, counted()));
  loop.start(work(1ms, counted()), [&](std::exception_ptr e) {
    CHECK_FALSE(e);
    ++ended;
    loop.start(work(1ms, counted()));
  });
  loop.start(fail(), [&](std::exception_ptr e) { failure = e; });
  CHECK(ended == 0);
  loop.run();
  CHECK(ended == 4);
  REQUIRE(failure);
  CHECK_THROWS_WITH(std::rethrow_exception(failure), "reported");
  loop.run();  // nothing to do
}

TEST_CASE("cancel_all stops what was started; what is started later is stopped too") {
  counted_check check;
  runtime loop;
  int cancelled_count = 0;
  bool told = false;
  loop.start(for_ever(cancelled_count), [&](std::exception_ptr e) {
    CHECK_THROWS_AS(std::rethrow_exception(e), brood::cancelled);
    told = true;
  });
  loop.run_until_complete(brood::yield());
  loop.cancel_all();
  loop.run();
  CHECK(cancelled_count == 1);
  CHECK(told);
}

TEST_CASE("a runtime destroyed with running tasks cancels and awaits them") {
  counted_check check;
  const leftovers before = leftovers::now();
  int cancelled_count = 0;
  int reported = 0;
  {
    runtime loop;
    const auto report = [&](std::exception_ptr) { ++reported; };
    for (int i = 0; i < 100; ++i) loop.start(for_ever(cancelled_count), report);
    loop.run_until_complete(brood::yield());
    loop.start(for_ever(cancelled_count), report);  // not begun yet
  }
  CHECK(cancelled_count == 101);
  CHECK(reported == 101);
  CHECK(leftovers::now() == before);
}

TEST_CASE("functions are posted from other threads, each runs once on the loop's thread") {
  constexpr int threads = 4;
  constexpr int posts = 10'000;
  run_clean([]() -> task<> {
    runtime& loop = runtime::current();
    const auto here = std::this_thread::get_id();
    brood::detail::local_event all;
    int ran = 0;
    bool elsewhere = false;
    std::vector<std::thread> posters;
    for (int t = 0; t < threads; ++t) {
      posters.emplace_back([&] {
        for (int i = 0; i < posts; ++i) {
          loop.post([&] {
            if (std::this_thread::get_id() != here) elsewhere = true;
            if (++ran == threads * posts) all.set();
          });
        }
      });
    }
    co_await all.wait();
    for (auto& poster : posters) poster.join();
    CHECK(ran == threads * posts);
    CHECK_FALSE(elsewhere);
  });
}

TEST_CASE("a posted function may post and start") {
  runtime loop;
  int steps = 0;
  loop.run_until_complete([&]() -> task<> {
    brood::detail::local_event done;
    auto finish = [&]() -> task<> {
      ++steps;
      done.set();
      co_return;
    };
    loop.post([&] {
      ++steps;
      loop.post([&] {
        ++steps;
        loop.start(finish());
      });
    });
    co_await done.wait();
  }());
  CHECK(steps == 3);
}

TEST_CASE("a runtime on each of many threads") {
  std::vector<std::thread> threads;
  std::atomic<int> sum = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&sum] {
      runtime loop;
      auto work = []() -> task<int> {
        co_await brood::sleep_for(1ms);
        co_return 1;
      };
      sum += loop.run_until_complete(work());
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(sum == 8);
}

TEST_CASE("ready tasks do not keep timers and events from being looked at") {
  run_clean([]() -> task<> {
    bool stop = false;
    std::uint64_t turns = 0;
    auto spin = [&]() -> task<> {
      while (!stop) {
        co_await brood::yield();
        ++turns;
      }
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(spin());
      co_await brood::sleep_for(5ms);
      stop = true;
    });
    CHECK(turns > 0);
  });
}

TEST_CASE("100,000 tasks in a nursery on the loop") {
  counted_check check;
  run_clean([]() -> task<> {
    int ended = 0;
    auto work = [&]() -> task<> {
      counted here;
      co_await brood::sleep_for(1ms);
      ++ended;
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (int i = 0; i < 100'000; ++i) n.start(work());
      co_return;
    });
    CHECK(ended == 100'000);
  });
}

namespace {

struct lower : brood::runtime_service {
  explicit lower(runtime&) { log.push_back("lower made"); }
  ~lower() override { log.push_back("lower gone"); }
  task<> shut_down() override {
    co_await brood::sleep_for(1ms);  // not cancelled by the end of the runtime
    log.push_back("lower down");
  }
  static inline std::vector<std::string> log;
};

struct upper : brood::runtime_service {
  explicit upper(runtime& loop) : loop_(loop) { loop.use<lower>(); }
  task<> shut_down() override {
    loop_.start(last());
    lower::log.push_back("upper down");
    co_return;
  }
  task<> last() {
    lower::log.push_back("upper's last task");
    co_return;
  }
  runtime& loop_;
};

}  // namespace

TEST_CASE("services are made once and shut down in reverse order") {
  lower::log.clear();
  {
    runtime loop;
    CHECK(loop.find<upper>() == nullptr);
    upper& service = loop.use<upper>();
    CHECK(&loop.use<upper>() == &service);
    CHECK(loop.find<lower>() != nullptr);
  }
  CHECK(lower::log == std::vector<std::string>{"lower made", "upper down", "upper's last task", "lower down",
                                               "lower gone"});
}

TEST_CASE("a runtime can be shut down before it is destroyed") {
  counted_check check;
  int cancelled_count = 0;
  runtime loop;
  loop.start(for_ever(cancelled_count), [](std::exception_ptr) {});
  loop.run_until_complete(brood::yield());
  loop.shut_down();
  CHECK(cancelled_count == 1);
}

TEST_CASE("a loop of its own raises the soft limit on descriptors to the hard one") {
  rlimit original{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &original) == 0);
  rlimit low = original;
  low.rlim_cur = 64;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  {
    runtime loop;
  }
  rlimit raised{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &raised) == 0);
  CHECK(raised.rlim_cur == original.rlim_max);
  setrlimit(RLIMIT_NOFILE, &original);
}

TEST_CASE("the sleep guard is asked before the loop sleeps and told when it wakes") {
  struct guard : brood::sleep_guard {
    void look() noexcept override {}
    bool about_to_sleep() noexcept override {
      balanced = balanced && !asleep;
      asleep = true;
      ++asked;
      return asked != 1;  // the first time there is work after all
    }
    void woke_up() noexcept override {
      balanced = balanced && asleep;
      asleep = false;
    }
    bool asleep = false;
    bool balanced = true;
    int asked = 0;
  } asked_guard;
  runtime loop;
  loop.set_sleep_guard(&asked_guard);
  loop.run_until_complete(brood::sleep_for(2ms));
  loop.set_sleep_guard(nullptr);
  CHECK(asked_guard.asked >= 2);
  CHECK(asked_guard.balanced);
}

TEST_CASE("what a posted function throws leaves run, and the runtime can be run again") {
  runtime loop;
  bool after = false;
  int cancelled_count = 0;
  loop.post([] { throw std::runtime_error("posted"); });
  loop.post([&] { after = true; });
  CHECK_THROWS_WITH(loop.run_until_complete(for_ever(cancelled_count)), "posted");
  CHECK(cancelled_count == 1);
  CHECK(after);
  bool ended = false;
  const auto tell = [](bool& told) -> task<> {
    co_await brood::sleep_for(1ms);
    told = true;
  };
  loop.start(tell(ended));
  loop.post([] { throw std::runtime_error("again"); });
  CHECK_THROWS_WITH(loop.run(), "again");
  loop.run();
  CHECK(ended);
}

TEST_CASE("what the callback of a watch throws leaves run") {
  runtime loop;
  int cancelled_count = 0;
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  {
    brood::fd_watch watch(loop, ends[1], [](int) { throw std::runtime_error("ready"); });
    watch.watch(brood::fd_watch::writable);
    CHECK_THROWS_WITH(loop.run_until_complete(brood::sleep_for(1h)), "ready");
    watch.watch(0);
  }
  close(ends[0]);
  close(ends[1]);
  brood::signal_watch signals(loop, SIGUSR1, [] { throw std::runtime_error("signal"); });
  raise(SIGUSR1);
  CHECK_THROWS_WITH(loop.run_until_complete(for_ever(cancelled_count)), "signal");
  CHECK(cancelled_count == 1);
  loop.run_until_complete(brood::yield());
}

namespace {

int shut_down_calls = 0;

struct late_service final : brood::runtime_service {
  explicit late_service(runtime&) {}
  task<> shut_down() override {
    ++shut_down_calls;
    co_return;
  }
};

struct service_that_makes_another final : brood::runtime_service {
  explicit service_that_makes_another(runtime& r) : loop(r) {}
  task<> shut_down() override {
    ++shut_down_calls;
    loop.use<late_service>();
    co_return;
  }
  runtime& loop;
};

}  // namespace

TEST_CASE("a service that is made while another one shuts down is shut down too, and each once") {
  shut_down_calls = 0;
  {
    runtime loop;
    loop.use<service_that_makes_another>();
  }
  CHECK(shut_down_calls == 2);
}
