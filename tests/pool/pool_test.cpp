// pool: apply, submit, map, starmap; errors and cancellation.
#include "brood/pool/pool.hpp"

#include <list>
#include <set>
#include <sstream>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "pools.hpp"

using namespace std::chrono_literals;
using namespace pools;

namespace {

brood::task<int> square_later(int x) {
  co_await brood::yield();
  co_return x* x;
}
brood::task<int> square_in_child(int x) {
  auto child = co_await brood::spawn<square>(x);
  co_return co_await child.result();
}
int square_in_child_plainly(int x) { return brood::sync_wait(square_in_child(x)); }
std::string large(std::size_t size) { return std::string(size, 'x'); }
std::size_t length(const std::string& text) { return text.size(); }
int nothing_given() { return 42; }
bool is_even(int x) { return x % 2 == 0; }
std::unique_ptr<int> own(int x) { return std::make_unique<int>(x); }

brood::task<> fill(brood::queue<int> to, int from) {
  for (int i = 0; i < 10; ++i) co_await to.put(from + i);
}
brood::task<brood::queue<int>> queue_with(int x) {
  brood::queue<int> made(4);
  co_await made.put(x);
  co_return made;
}

struct stubborn {
  int value = 0;
  template <class A>
  void save(A& archive) const {
    if (value == 3) throw std::runtime_error("three does not travel");
    archive(value);
  }
  template <class A>
  void load(A& archive) {
    archive(value);
  }
};
stubborn make_stubborn(int x) {
  stubborn made;
  made.value = x;
  return made;
}
int value_of(const stubborn& s) { return s.value; }

/// Counts the objects that live in this process.
struct tracked {
  static inline int living = 0;
  int value = 0;
  tracked() { ++living; }
  tracked(const tracked& o) : value(o.value) { ++living; }
  tracked& operator=(const tracked&) = default;
  ~tracked() { --living; }
  template <class A>
  void serialize(A& archive) {
    archive(value);
  }
};
tracked pass_on(tracked t) { return t; }

}  // namespace

TEST_CASE("a pool that is opened and closed does nothing else") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(3);
    CHECK(pool.workers() == 3);
    CHECK(pool.stats().workers == 3);
    CHECK(pool.worker_pids().size() == 3);
    co_await pool.close();
    co_await pool.close();
    CHECK(pool.worker_pids().empty());
  });
}

TEST_CASE("a map that has become one that collects is spent") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    auto first = pool.map<square>(numbers(10));
    auto collecting = std::move(first).collect();
    CHECK_THROWS_AS(co_await std::move(first), std::logic_error);
    CHECK_THROWS_AS(std::move(first).collect(), std::logic_error);
    const auto all = co_await std::move(collecting);
    CHECK(all.size() == 10);
    co_await pool.close();
  });
}

TEST_CASE("apply gives the function's result") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto square_result = co_await pool.apply<square>(7);
    CHECK(square_result == 49);
    const auto add_result = co_await pool.apply<add>(2, 3);
    CHECK(add_result == 5);
    const auto twice_result = co_await pool.apply<twice>("ab");
    CHECK(twice_result == "abab");
    const auto nothing_given_result = co_await pool.apply<nothing_given>();
    CHECK(nothing_given_result == 42);
    const auto large_result = co_await pool.apply<large>(5'000'000u);
    CHECK(large_result == std::string(5'000'000, 'x'));
    const auto length_result = co_await pool.apply<length>(std::string(5'000'000, 'y'));
    CHECK(length_result == 5'000'000);
    const auto own_result = co_await pool.apply<own>(5);
    CHECK(*own_result == 5);
    co_await pool.apply<do_nothing>(1);
    constexpr auto cube = [](int x) { return x * x * x; };
    const auto cube_result = co_await pool.apply<cube>(3);
    CHECK(cube_result == 27);
    co_await pool.close();
  });
}

TEST_CASE("task functions may be coroutines and have children of their own") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto square_later_result = co_await pool.apply<square_later>(7);
    CHECK(square_later_result == 49);
    const auto square_later_results = co_await pool.map<square_later>(numbers(100));
    CHECK(square_later_results == squares(100));
    const auto square_in_child_result = co_await pool.apply<square_in_child>(5);
    CHECK(square_in_child_result == 25);
    const auto square_in_child_plainly_results = co_await pool.map<square_in_child_plainly>(numbers(4));
    CHECK(square_in_child_plainly_results == squares(4));
    co_await pool.close();
  });
}

TEST_CASE("map and starmap are equal to the serial result, with every chunk size") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(3);
    const auto items = numbers(1000);
    const auto square_results = co_await pool.map<square>(items);
    CHECK(square_results == squares(1000));
    for (const std::uint64_t chunk : {1u, 2u, 7u, 999u, 1000u, 5000u}) {
      const auto second_square_results = co_await pool.map<square>(items).chunk(chunk);
      CHECK(second_square_results == squares(1000));
    }
    std::vector<std::tuple<int, int>> pairs;
    for (int i = 0; i < 100; ++i) pairs.emplace_back(i, i * i - i);
    const auto add_results = co_await pool.starmap<add>(pairs);
    CHECK(add_results == squares(100));
    const auto second_add_results = co_await pool.starmap<add>(pairs).chunk(3);
    CHECK(second_add_results == squares(100));
    const std::vector<std::string> words{"a", "bc", "", std::string(100'000, 'd')};
    std::vector<std::string> doubled;
    for (const auto& word : words) doubled.push_back(word + word);
    const auto twice_results = co_await pool.map<twice>(words);
    CHECK(twice_results == doubled);
    const auto second_twice_results = co_await pool.map<twice>(words).chunk(2);
    CHECK(second_twice_results == doubled);
    const auto even = co_await pool.map<is_even>(numbers(5));
    CHECK(even == std::vector<bool>{true, false, true, false, true});
    co_await pool.map<do_nothing>(items);
    co_await pool.close();
  });
}

TEST_CASE("any range can be mapped") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const std::list<int> list{1, 2, 3};
    const std::vector<int> one_to_three{1, 4, 9};
    const auto square_results = co_await pool.map<square>(list);
    CHECK(square_results == one_to_three);
    const auto second_square_results = co_await pool.map<square>(std::views::iota(0, 50));
    CHECK(second_square_results == squares(50));
    const std::vector<short> other{1, 2};
    const std::vector<int> one_and_two{1, 4};
    const auto third_square_results = co_await pool.map<square>(other);
    CHECK(third_square_results == one_and_two);
    std::istringstream text("3 4 5");
    const std::vector<int> three_to_five{9, 16, 25};
    const auto fourth_square_results = co_await pool.map<square>(std::ranges::istream_view<int>(text));
    CHECK(fourth_square_results == three_to_five);
    co_await pool.close();
  });
}

TEST_CASE("an empty input gives its empty result at once, in every form") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const std::vector<int> none;
    const auto square_results = co_await pool.map<square>(none);
    CHECK(square_results.empty());
    const auto second_square_results = co_await pool.map<square>(none).chunk(1);
    CHECK(second_square_results.empty());
    const auto third_square_results = co_await pool.map<square>(none).collect();
    CHECK(third_square_results.empty());
    const std::vector<std::tuple<int, int>> no_pairs;
    const auto add_results = co_await pool.starmap<add>(no_pairs);
    CHECK(add_results.empty());
    auto ordered = pool.imap<square>(none);
    const auto item = co_await ordered.next();
    CHECK_FALSE(item.has_value());
    auto unordered = pool.imap_unordered<square>(none);
    const auto value = co_await unordered.next();
    CHECK_FALSE(value.has_value());
    CHECK(pool.stats().tasks_given == 0);
    co_await pool.close();
  });
}

TEST_CASE("what a task throws arrives with its type, its text and its worker") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    try {
      co_await pool.apply<throw_if_odd>(7);
      FAIL("nothing was thrown");
    } catch (const brood::remote_error& e) {
      CHECK(e.type() == "std::out_of_range");
      CHECK_THAT(std::string(e.what()), contains_text("odd: 7"));
      CHECK_THAT(e.process_name(), contains_text("-worker-1"));
      CHECK(e.pid() == pool.worker_pids().at(0));
    }
    const auto throw_if_odd_result = co_await pool.apply<throw_if_odd>(8);
    CHECK(throw_if_odd_result == 8);
    CHECK(pool.stats().workers_started == 1);
    co_await pool.close();
  });
}

TEST_CASE("the first exception ends a map; collect gives every item's end") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    for (const std::uint64_t chunk : {1u, 10u}) {
      bool threw = false;
      try {
        co_await pool.map<throw_if_odd>(numbers(50)).chunk(chunk);
      } catch (const brood::remote_error& e) {
        threw = e.type() == "std::out_of_range";
      }
      CHECK(threw);
      const auto all = co_await pool.map<throw_if_odd>(numbers(50)).chunk(chunk).collect();
      REQUIRE(all.size() == 50);
      for (std::size_t i = 0; i < 50; ++i) {
        CHECK(all[i].has_value() == (i % 2 == 0));
        if (i % 2 == 0) CHECK(all[i].value() == static_cast<int>(i));
        if (i % 2 != 0) CHECK_THROWS_AS(all[i].value(), brood::remote_error);
      }
    }
    co_await pool.close();
  });
}

TEST_CASE("a failed map does not go through the rest of its items") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto threw_remote_error = co_await throws<brood::remote_error>(
        pool.map<throw_if_odd>(std::views::iota(1, 10'000'000)).chunk(10));
    CHECK(threw_remote_error);
    CHECK(pool.stats().tasks_given < 100'000);
    co_await pool.close();
  });
}

TEST_CASE("an argument or a result that refuses to be encoded is an error, and costs no worker") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    std::vector<stubborn> items(5);
    for (int i = 0; i < 5; ++i) items[static_cast<std::size_t>(i)].value = i;
    for (int i = 0; i < 20; ++i) {
      const auto threw_runtime_error = co_await throws<std::runtime_error>(pool.map<value_of>(items));
      CHECK(threw_runtime_error);
      const auto threw_remote_error = co_await throws<brood::remote_error>(pool.apply<make_stubborn>(3));
      CHECK(threw_remote_error);
    }
    CHECK_THROWS_AS(pool.submit<value_of>(items[3]), std::runtime_error);
    const auto made = co_await pool.map<make_stubborn>(numbers(5)).chunk(5).collect();
    for (std::size_t i = 0; i < 5; ++i) CHECK(made[i].has_value() == (i != 3));
    CHECK(pool.stats().workers_started == 2);
    co_await pool.close();
  });
}

TEST_CASE("a future is awaited by several, before and after its end") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    auto moved_from = pool.submit<twice>("x");
    const auto f = std::move(moved_from);  // both name the call
    int called = 0;
    const auto callback = [&called](brood::future<std::string> of) -> brood::task<> {
      const auto of_result = co_await of;
      CHECK(of_result == "xx");
      ++called;
    };
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      n.start(callback(f));
      n.start(callback(moved_from));
      co_return;
    });
    CHECK(called == 2);
    CHECK(f.is_ready());
    const auto f_result = co_await f;
    CHECK(f_result == "xx");
    auto failing = pool.submit<throw_if_odd>(3);
    const auto threw_remote_error = co_await throws<brood::remote_error>(failing);
    CHECK(threw_remote_error);
    const auto threw_remote_error_again = co_await throws<brood::remote_error>(failing);
    CHECK(threw_remote_error_again);
    auto once = pool.submit<own>(3);
    const auto once_result = co_await once;
    CHECK(*once_result == 3);
    const auto threw_logic_error = co_await throws<std::logic_error>(once);
    CHECK(threw_logic_error);
    co_await pool.close();
  });
}

TEST_CASE("waiting for a future may time out, and the call goes on") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    brood::queue<int> gate;
    auto f = pool.submit<[](brood::queue<int> q) { return brood::sync_wait(q.get()); }>(gate);
    const auto threw_timed_out = co_await throws<brood::timed_out>(brood::with_timeout(20ms, f));
    CHECK(threw_timed_out);
    CHECK_FALSE(f.is_ready());
    co_await gate.put(5);
    const auto f_result = co_await f;
    CHECK(f_result == 5);
    const auto square_result = co_await pool.apply<square>(3);
    CHECK(square_result == 9);
    co_await pool.close();
  });
}

TEST_CASE("cancel of a queued call: it never runs") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    brood::queue<int> gate;
    brood::queue<int> ran;
    auto blocking = pool.submit<[](brood::queue<int> q) { return brood::sync_wait(q.get()); }>(gate);
    std::vector<brood::future<void>> waiting;
    for (int i = 0; i < 10; ++i) waiting.push_back(pool.submit<fill>(ran, i));
    co_await brood::sleep_for(5ms);
    for (auto& each : waiting) CHECK(each.cancel());
    CHECK_FALSE(waiting[0].cancel());
    co_await gate.put(1);
    const auto blocking_result = co_await blocking;
    CHECK(blocking_result == 1);
    for (auto& each : waiting) {
      const auto threw_cancelled = co_await throws<brood::cancelled>(each);
      CHECK(threw_cancelled);
    }
    const auto square_result = co_await pool.apply<square>(2);
    CHECK(square_result == 4);
    CHECK(ran.empty());
    CHECK(pool.stats().workers_died == 0);
    co_await pool.close();
  });
}

TEST_CASE("cancel of a running call kills its worker and only that") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    brood::queue<int> begun;
    constexpr auto hang = [](brood::queue<int> told) {
      brood::sync_wait(told.put(getpid()));
      wait_for_ever(0);
      return 0;
    };
    brood::queue<int> gate;
    auto other = pool.submit<[](brood::queue<int> q) { return brood::sync_wait(q.get()); }>(gate);
    auto f = pool.submit<hang>(begun);
    const int victim = co_await begun.get();
    CHECK(f.cancel());
    const auto threw_cancelled = co_await throws<brood::cancelled>(f);
    CHECK(threw_cancelled);
    co_await gate.put(8);
    const auto other_result = co_await other;
    CHECK(other_result == 8);
    for (int i = 0; i < 20; ++i) {
      const auto pid_of_worker_result = co_await pool.apply<pid_of_worker>(0);
      CHECK(pid_of_worker_result != victim);
    }
    while (pool.stats().workers_started < 3 || pool.stats().workers < 2) co_await brood::sleep_for(1ms);
    CHECK(pool.stats().workers_started == 3);
    CHECK(pool.stats().workers_died == 0);  // by our own hand
    co_await pool.close();
  });
}

TEST_CASE("a cancelled map is given up, what runs of it too") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto threw_timed_out =
        co_await throws<brood::timed_out>(brood::with_timeout(30ms, pool.map<wait_for_ever>(numbers(100))));
    CHECK(threw_timed_out);
    const auto threw_timed_out_again =
        co_await throws<brood::timed_out>(brood::with_timeout(30ms, pool.apply<wait_for_ever>(1)));
    CHECK(threw_timed_out_again);
    const auto square_results = co_await pool.map<square>(numbers(100));
    CHECK(square_results == squares(100));
    co_await pool.close();
  });
}

TEST_CASE("progress is told, up to the whole; what it throws ends the map") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    std::vector<std::uint64_t> told;
    const auto tell = [&told](std::uint64_t done, std::uint64_t total) {
      CHECK(total == 1000);
      told.push_back(done);
    };
    co_await pool.map<square>(numbers(1000)).chunk(10).progress(tell);
    REQUIRE_FALSE(told.empty());
    CHECK(std::is_sorted(told.begin(), told.end()));
    CHECK(told.back() == 1000);
    const auto refuse = [](std::uint64_t, std::uint64_t) { throw std::domain_error("enough"); };
    const auto threw_domain_error =
        co_await throws<std::domain_error>(pool.map<square>(numbers(1000)).chunk(1).progress(refuse));
    CHECK(threw_domain_error);
    const auto square_result = co_await pool.apply<square>(2);
    CHECK(square_result == 4);
    co_await pool.close();
  });
}

TEST_CASE("queues are arguments and results of tasks") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    brood::queue<int> to;
    std::vector<std::tuple<brood::queue<int>, int>> calls;
    for (int i = 0; i < 5; ++i) calls.emplace_back(to, i * 10);
    co_await pool.starmap<fill>(calls);
    std::set<int> got;
    while (auto next = to.try_get()) got.insert(*next);
    CHECK(got.size() == 50);
    for (const std::uint64_t chunk : {1u, 4u}) {
      const auto queues = co_await pool.map<queue_with>(numbers(8)).chunk(chunk);
      REQUIRE(queues.size() == 8);
      for (int i = 0; i < 8; ++i) CHECK(queues[static_cast<std::size_t>(i)].try_get() == i);
    }
    co_await pool.close();
  });
}

TEST_CASE("arguments and results are released") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    {
      std::vector<tracked> items(10);
      const auto back = co_await pool.map<pass_on>(items);
      CHECK(tracked::living == 20);
      auto f = pool.submit<pass_on>(items[0]);
      co_await f;
    }
    CHECK(tracked::living == 0);
    co_await pool.close();
  });
}

TEST_CASE("a closed pool finishes what it has and takes no more") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    std::vector<brood::future<int>> all;
    for (int i = 0; i < 1000; ++i) all.push_back(pool.submit<square>(i));
    co_await pool.close();
    for (int i = 0; i < 1000; ++i) {
      const auto got = co_await all[static_cast<std::size_t>(i)];
      CHECK(got == i * i);
    }
    CHECK_THROWS_AS(pool.submit<square>(1), brood::closed);
    const auto threw_closed = co_await throws<brood::closed>(pool.apply<square>(1));
    CHECK(threw_closed);
    const auto threw_closed_again = co_await throws<brood::closed>(pool.map<square>(numbers(3)));
    CHECK(threw_closed_again);
    const auto threw_closed_once_more = co_await throws<brood::closed>(pool.map<square>(numbers(0)));
    CHECK(threw_closed_once_more);
    auto stream = pool.imap<square>(numbers(3));
    const auto threw_closed_a_fourth_time = co_await throws<brood::closed>(stream.next());
    CHECK(threw_closed_a_fourth_time);
    pool.terminate();
  });
}

TEST_CASE("results of many failing tasks do not keep close waiting") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    constexpr auto fail = [](int) -> int { throw std::runtime_error(std::string(100'000, 'e')); };
    const auto threw_remote_error =
        co_await throws<brood::remote_error>(pool.map<fail>(numbers(50)).chunk(1));
    CHECK(threw_remote_error);
    co_await pool.close();
  });
}

TEST_CASE("pools can be used by several coroutines at once, and there may be several pools") {
  run_balanced([]() -> brood::task<> {
    auto first = co_await brood::pool::open(2);
    auto second = co_await brood::pool::open(2);
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      const auto use = [](brood::pool pool, int count) -> brood::task<> {
        const auto square_results = co_await pool.map<square>(numbers(count)).chunk(1);
        CHECK(square_results == squares(count));
      };
      for (int i = 0; i < 10; ++i) n.start(use(i % 2 == 0 ? first : second, 100 + i));
      co_return;
    });
    co_await first.close();
    co_await second.close();
  });
}
