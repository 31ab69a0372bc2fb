// imap and imap_unordered: results as they come, from ranges that never end.
#include <algorithm>
#include <fstream>
#include <map>
#include <ranges>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "pools.hpp"

using namespace std::chrono_literals;
using namespace pools;

namespace {

template <class Stream>
brood::task<std::vector<int>> all_of(Stream& stream) {
  std::vector<int> all;
  while (auto next = co_await stream.next()) all.push_back(*next);
  co_return all;
}

brood::task<int> square_in_a_moment(int x) {
  if (x == 0) co_await brood::sleep_for(20ms);
  co_return x* x;
}
struct labelled {
  std::string text;
  int number = 0;
  friend bool operator==(const labelled&, const labelled&) = default;
};
labelled relabel(const labelled& from) { return {from.text + "!", from.number + 1}; }
brood::task<int> from_queue(brood::queue<int> from) { co_return co_await from.get(); }
std::string word(int x) { return std::string(300, static_cast<char>('a' + x % 26)); }

/// A range that counts how far it was asked.
struct counting {
  int* asked;
  auto operator()(int i) const {
    *asked = std::max(*asked, i);
    return i;
  }
};

long resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
  }
  return 0;
}

brood::generator<int> count_up(int end) {
  for (int i = 0; i < end; ++i) co_yield i;
}

/// Gives what comes through a queue; tells that it has begun, and how it ended.
struct fed_generator {
  brood::queue<int> from;
  bool begun = false;
  bool cancelled = false;
  bool gone = false;

  struct leaving {
    bool& gone;
    ~leaving() { gone = true; }
  };
  brood::generator<int> items() {
    const leaving mark{gone};
    begun = true;
    for (;;) {
      std::optional<int> next;
      try {
        next = co_await from.next();
      } catch (const brood::cancelled&) {
        cancelled = true;
        throw;
      }
      if (!next) co_return;
      if (*next < 0) throw std::domain_error("negative");
      co_yield *next;
    }
  }
};

}  // namespace

TEST_CASE("imap keeps the order of the items") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(3);
    for (const std::uint64_t chunk : {1u, 7u}) {
      auto stream = pool.imap<square_in_a_moment>(numbers(1000)).chunk(chunk);
      const auto all_of_stream = co_await all_of(stream);
      CHECK(all_of_stream == squares(1000));
    }
    brood::generator<int> plain = pool.imap<square>(std::views::iota(0, 10));
    const auto all_of_plain = co_await all_of(plain);
    CHECK(all_of_plain == squares(10));
    co_await pool.close();
  });
}

TEST_CASE("imap_unordered gives every result once, a slow one later") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(3);
    for (const std::uint64_t chunk : {1u, 7u}) {
      auto stream = pool.imap_unordered<square>(numbers(1000)).chunk(chunk);
      auto all = co_await all_of(stream);
      std::sort(all.begin(), all.end());
      CHECK(all == squares(1000));
    }
    auto stream = pool.imap_unordered<square_in_a_moment>(numbers(100));
    const auto item = co_await stream.next();
    CHECK(*item != 0);
    const auto all_of_stream = co_await all_of(stream);
    CHECK(all_of_stream.size() == 99);
    co_await pool.close();
  });
}

TEST_CASE("results of any size are streamed") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    auto stream = pool.imap<word>(numbers(500)).chunk(3);
    int i = 0;
    while (auto next = co_await stream.next()) CHECK(*next == word(i++));
    CHECK(i == 500);
    auto nothing = pool.imap<do_nothing>(numbers(10));
    int ended = 0;
    while (co_await nothing.next()) ++ended;
    CHECK(ended == 10);
    co_await pool.close();
  });
}

TEST_CASE("a range of a thousand million items is asked only as far as its window") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    int asked = 0;
    auto items = std::views::iota(0, 1'000'000'000) | std::views::transform(counting{&asked});
    auto stream = pool.imap<square>(items).window(50);
    for (int i = 0; i < 2000; ++i) {
      const auto next = co_await stream.next();
      REQUIRE(next == square(i));
      REQUIRE(asked <= i + 51);
    }
    const auto blocks = brood::family_memory::get().statistics().bytes_used;
    const long before = resident_kib();
    for (int i = 2000; i < 300'000; ++i) {
      const auto item = co_await stream.next();
      REQUIRE(item == square(i));
    }
    CHECK(brood::family_memory::get().statistics().bytes_used == blocks);
    CHECK(resident_kib() - before < (sanitized ? 100'000 : 4000));
    stream = pool.imap<square>(std::views::iota(0, 3) |
                               std::views::transform(counting{&asked}));  // the rest is dropped
    const auto item = co_await stream.next();
    CHECK(*item == 0);
    auto rest = co_await all_of(stream);
    CHECK(rest.size() == 2);
    co_await pool.close();
  });
}

TEST_CASE("an item that throws ends the stream where its result would be; collect goes on") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const std::vector<int> items{0, 2, 4, 5, 6, 8};
    for (const std::uint64_t chunk : {1u, 2u, 6u}) {
      auto stream = pool.imap<throw_if_odd>(items).chunk(chunk);
      for (const int expected : {0, 2, 4}) {
        const auto value = co_await stream.next();
        CHECK(*value == expected);
      }
      const auto threw_remote_error = co_await throws<brood::remote_error>(stream.next());
      CHECK(threw_remote_error);
      const auto value = co_await stream.next();
      CHECK_FALSE(value.has_value());
      auto all = pool.imap_collect<throw_if_odd>(items).chunk(chunk);
      for (const int item : items) {
        const auto next = co_await all.next();
        REQUIRE(next);
        CHECK(next->has_value() == (item != 5));
      }
      const auto next_item = co_await all.next();
      CHECK_FALSE(next_item.has_value());
      auto unordered = pool.imap_unordered_collect<throw_if_odd>(items).chunk(chunk);
      int failed = 0;
      while (const auto next = co_await unordered.next()) failed += next->has_value() ? 0 : 1;
      CHECK(failed == 1);
    }
    co_await pool.close();
  });
}

TEST_CASE("a range that throws fails its stream, and the pool works on") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto bad = [](int i) {
      if (i == 20) throw std::domain_error("twenty");
      return i;
    };
    auto stream = pool.imap<square>(std::views::iota(0, 100) | std::views::transform(bad));
    const auto threw_domain_error = co_await throws<std::domain_error>(all_of(stream));
    CHECK(threw_domain_error);
    // With such a window the range is asked for the next item when all others have been taken.
    auto slow = pool.imap<square>(std::views::iota(0, 100) | std::views::transform(bad)).window(1);
    const auto threw_domain_error_again = co_await throws<std::domain_error>(all_of(slow));
    CHECK(threw_domain_error_again);
    const auto threw_domain_error_once_more = co_await throws<std::domain_error>(
        pool.map<square>(std::views::iota(0, 100) | std::views::transform(bad)).chunk(3));
    CHECK(threw_domain_error_once_more);
    const auto square_result = co_await pool.apply<square>(3);
    CHECK(square_result == 9);
    co_await pool.close();
  });
}

TEST_CASE("a stream that is dropped or cancelled gives the rest up") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    {
      auto stream = pool.imap_unordered<square>(std::views::iota(0));
      const auto item = co_await stream.next();
      CHECK(item);
      auto never_begun = pool.imap<square>(std::views::iota(0));
    }
    {
      auto hanging = pool.imap<wait_for_ever>(std::views::iota(0));
      const bool cancelled = co_await throws<brood::timed_out>(brood::with_timeout(30ms, hanging.next()));
      CHECK(cancelled);
      CHECK(pool.stats().jobs == 1);
    }
    const auto square_results = co_await pool.map<square>(numbers(100));
    CHECK(square_results == squares(100));
    CHECK(pool.stats().jobs == 0);
    co_await pool.close();
  });
}

TEST_CASE("a next() of a stream that times out takes nothing, ends nothing and kills nobody") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto workers = pool.worker_pids();
    brood::queue<int> gate;
    const std::vector<brood::queue<int>> gates(3, gate);
    auto stream = pool.imap<from_queue>(gates);
    for (int round = 0; round < 3; ++round) {
      const bool late = co_await throws<brood::timed_out>(brood::with_timeout(1ms, stream.next()));
      CHECK(late);
    }
    for (int i = 1; i <= 3; ++i) co_await gate.put(i);
    auto all = co_await all_of(stream);
    std::sort(all.begin(), all.end());
    CHECK(all == std::vector<int>{1, 2, 3});
    CHECK(pool.stats().workers_died == 0);
    CHECK(pool.worker_pids() == workers);
    co_await pool.close();
  });
}

TEST_CASE("aggregates that own a text are arguments, items and results of every form of call") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const labelled first{"the first of many texts that are too long to be small", 1};
    const std::vector<labelled> all(20, first);
    const labelled one = co_await pool.apply<relabel>(first);
    CHECK(one == labelled{first.text + "!", 2});
    auto call = pool.submit<relabel>(first);
    const labelled submitted = co_await call;
    CHECK(submitted == one);
    const std::vector<labelled> mapped = co_await pool.map<relabel>(all);
    CHECK(mapped == std::vector<labelled>(20, one));
    auto ordered = pool.imap<relabel>(all);
    int seen = 0;
    while (auto next = co_await ordered.next()) {
      CHECK(*next == one);
      ++seen;
    }
    auto unordered = pool.imap_unordered<relabel>(pool.imap<relabel>(all));
    while (auto next = co_await unordered.next()) {
      CHECK(next->number == 3);
      ++seen;
    }
    auto collected = pool.imap_collect<relabel>(all);
    while (auto next = co_await collected.next()) {
      CHECK(next->value() == one);
      ++seen;
    }
    CHECK(seen == 60);
    co_await pool.close();
  });
}

TEST_CASE("a slow consumer does not keep other jobs waiting") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    auto stream = pool.imap<square>(std::views::iota(0)).window(10);
    const auto item = co_await stream.next();
    CHECK(*item == 0);
    const auto square_results = co_await pool.map<square>(numbers(1000)).chunk(1);
    CHECK(square_results == squares(1000));
    const auto value = co_await stream.next();
    CHECK(*value == 1);
    {
      auto dropped = std::move(stream);
    }
    co_await pool.close();
  });
}

TEST_CASE("an asynchronous generator is streamed as a range is") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(3);
    for (const std::uint64_t chunk : {1u, 7u}) {
      auto stream = pool.imap<square_in_a_moment>(count_up(1000)).chunk(chunk);
      const auto all_of_stream = co_await all_of(stream);
      CHECK(all_of_stream == squares(1000));
      auto items = count_up(1000);
      auto unordered = pool.imap_unordered<square>(std::move(items)).chunk(chunk);
      auto all = co_await all_of(unordered);
      std::sort(all.begin(), all.end());
      CHECK(all == squares(1000));
    }
    auto none = pool.imap<square>(count_up(0));
    const auto all_of_none = co_await all_of(none);
    CHECK(all_of_none.empty());
    auto failing = pool.imap_collect<throw_if_odd>(count_up(5)).chunk(2);
    for (int i = 0; i < 5; ++i) {
      const auto next = co_await failing.next();
      REQUIRE(next);
      CHECK(next->has_value() == (i % 2 == 0));
    }
    const auto item = co_await failing.next();
    CHECK_FALSE(item.has_value());
    co_await pool.close();
  });
}

TEST_CASE("a stream is the input of the next") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    constexpr auto root = [](int x) {
      int r = 0;
      while (r * r < x) ++r;
      return r;
    };
    auto first = pool.imap<square>(count_up(500)).window(20);
    auto second = pool.imap<root>(std::move(first)).window(20);
    const auto all_of_second = co_await all_of(second);
    CHECK(all_of_second == numbers(500));
    co_await pool.close();
  });
}

TEST_CASE("a generator of a thousand million items is asked only as far as its window") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    int asked = 0;
    const auto count = [&]() -> brood::generator<int> {
      for (int i = 0; i < 1'000'000'000; ++i) {
        asked = i;
        co_yield i;
      }
    };
    for (const std::uint64_t window : {1u, 50u}) {
      auto stream = pool.imap<square>(count()).window(window);
      for (int i = 0; i < 2000; ++i) {
        const auto next = co_await stream.next();
        REQUIRE(next == square(i));
        REQUIRE(asked <= i + static_cast<int>(window));
      }
      const long before = resident_kib();
      for (int i = 2000; i < 30'000; ++i) {
        const auto item = co_await stream.next();
        REQUIRE(item == square(i));
      }
      CHECK(resident_kib() - before < (sanitized ? 100'000 : 4000));
    }
    co_await pool.close();
  });
}

TEST_CASE("results come while the generator waits, whatever the chunk") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    for (const std::uint64_t chunk : {1u, 10u}) {
      fed_generator fed;
      auto stream = pool.imap<square>(fed.items()).chunk(chunk);
      for (int i = 0; i < 20; ++i) {
        co_await fed.from.put(i);  // only after the result of the one before
        const auto item = co_await stream.next();
        CHECK(item == square(i));
      }
      fed.from.close();
      const auto item = co_await stream.next();
      CHECK_FALSE(item.has_value());
      CHECK(fed.gone);
    }
    co_await pool.close();
  });
}

TEST_CASE("what a generator throws comes after the results of the items before") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto calls = [&]() -> brood::generator<int> {
      for (int i = 0; i < 5; ++i) co_yield i;
      throw std::domain_error("five");
    };
    for (const std::uint64_t chunk : {1u, 2u, 5u}) {
      auto stream = pool.imap<square_in_a_moment>(calls()).chunk(chunk);  // the first takes 20 ms
      for (int i = 0; i < 5; ++i) {
        const auto item = co_await stream.next();
        CHECK(item == square(i));
      }
      const auto threw_domain_error = co_await throws<std::domain_error>(stream.next());
      CHECK(threw_domain_error);
      const auto item = co_await stream.next();
      CHECK_FALSE(item.has_value());
      auto unordered = pool.imap_unordered_collect<square_in_a_moment>(calls()).chunk(chunk);
      for (int i = 0; i < 5; ++i) {
        const auto value = co_await unordered.next();
        CHECK(value.has_value());
      }
      const auto threw_domain_error_again = co_await throws<std::domain_error>(unordered.next());
      CHECK(threw_domain_error_again);
    }
    co_await pool.close();
  });
}

TEST_CASE("an item that throws ends its generator, and so do cancellation and the end of the pool") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    {
      fed_generator fed;
      auto stream = pool.imap<throw_if_odd>(fed.items());
      co_await fed.from.put(2);
      co_await fed.from.put(3);
      const auto item = co_await stream.next();
      CHECK(item == 2);
      const auto threw_remote_error = co_await throws<brood::remote_error>(stream.next());
      CHECK(threw_remote_error);
      CHECK(fed.cancelled);
      CHECK(fed.gone);
    }
    fed_generator hanging;
    {
      auto stream = pool.imap<wait_for_ever>(hanging.items());
      co_await hanging.from.put(1);
      const bool cancelled = co_await throws<brood::timed_out>(brood::with_timeout(30ms, stream.next()));
      CHECK(cancelled);
      CHECK_FALSE(hanging.cancelled);
    }
    while (!hanging.gone) co_await brood::yield();
    CHECK(hanging.cancelled);
    fed_generator fed;
    auto stream = pool.imap<square>(fed.items());
    co_await fed.from.put(1);
    const auto item = co_await stream.next();
    CHECK(item == 1);
    pool.terminate();
    const auto threw_closed = co_await throws<brood::closed>(stream.next());
    CHECK(threw_closed);
    CHECK(fed.gone);
    fed_generator late;
    auto refused = pool.imap<square>(late.items());
    const auto threw_closed_again = co_await throws<brood::closed>(refused.next());
    CHECK(threw_closed_again);
    CHECK_FALSE(late.begun);
    co_await pool.join();
  });
}

TEST_CASE("a dropped stream ends its generator") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    fed_generator fed;
    fed_generator never;
    {
      auto stream = pool.imap_unordered<square>(fed.items());
      co_await fed.from.put(1);
      const auto item = co_await stream.next();
      CHECK(item == 1);
      auto never_begun = pool.imap<square>(never.items());
    }
    CHECK(pool.stats().jobs == 0);
    while (!fed.gone) co_await brood::yield();
    CHECK(fed.cancelled);
    CHECK_FALSE(never.begun);
    const auto square_results = co_await pool.map<square>(numbers(100));
    CHECK(square_results == squares(100));
    co_await pool.close();
  });
}

TEST_CASE("a range that throws does so after the results of the items before") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    const auto bad = [](int i) {
      if (i == 5) throw std::domain_error("five");
      return i;
    };
    for (const std::uint64_t chunk : {1u, 2u, 5u, 10u}) {
      auto stream =
          pool.imap<square_in_a_moment>(std::views::iota(0, 100) | std::views::transform(bad)).chunk(chunk);
      for (int i = 0; i < 5; ++i) {
        const auto item = co_await stream.next();
        CHECK(item == square(i));
      }
      const auto threw_domain_error = co_await throws<std::domain_error>(stream.next());
      CHECK(threw_domain_error);
    }
    co_await pool.close();
  });
}
