// A pool to which something is refused: memory, descriptors, a thread that is not its own; and user's code that throws where
// nobody expects it. Whoever asked is told, nobody hangs, and the next call works.
#include <chrono>
#include <ranges>
#include <system_error>
#include <thread>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "pools.hpp"
#include "scarce.hpp"

using namespace std::chrono_literals;
using namespace pools;

namespace {

std::string long_text(int size) { return std::string(static_cast<std::size_t>(size), 'x'); }
void throw_a_number() { throw 7; }

enum class place { begin, increment, value, comparison };

/// The numbers below ten, of which the third throws what is no exception.
class odd_range : public std::ranges::view_base {
 public:
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    place bad = place::begin;
    int at = 0;
    int operator*() const {
      raise_if(place::value);
      return at;
    }
    iterator& operator++() {
      raise_if(place::increment);
      ++at;
      return *this;
    }
    iterator operator++(int) {
      iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const iterator& other) const {
      raise_if(place::comparison);
      return at == other.at;
    }
    void raise_if(place here) const {
      if (bad == here && at == 3) throw 7;
    }
  };

  explicit odd_range(place where) : bad_(where) {}
  iterator begin() const {
    if (bad_ == place::begin) throw 7;
    return {bad_, 0};
  }
  iterator end() const { return {place::begin, 10}; }

 private:
  place bad_;
};

brood::generator<int> number_that_throws(int after) {
  for (int i = 0; i < after; ++i) co_yield i;
  throw 7;
}

template <class Stream>
brood::task<int> length_of(Stream stream) {
  int length = 0;
  while (co_await stream.next()) ++length;
  co_return length;
}

/// Whether there was no memory, for the arguments here or for the result in the worker.
template <class A>
brood::task<bool> lacks_memory(A operation) {
  try {
    co_await std::move(operation);
  } catch (const brood::arena_full&) {
    co_return true;
  } catch (const brood::remote_error& e) {
    co_return e.type() == "brood::arena_full";
  }
  co_return false;
}

/// Small calls and large ones, of every form.
brood::task<> use(brood::pool pool) {
  const int nine = co_await pool.apply<square>(3);
  CHECK(nine == 9);
  const auto all = co_await pool.map<square>(numbers(100));
  CHECK(all == squares(100));
  const std::string text = co_await pool.apply<twice>(long_text(100'000));
  CHECK(text.size() == 200'000);
  auto stream = pool.imap<long_text>(std::vector<int>(5, 100'000));
  const int length = co_await length_of(std::move(stream));
  CHECK(length == 5);
}

}  // namespace

TEST_CASE("durations without end are for ever, and those below zero at once") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2).idle_timeout(std::chrono::hours::max()).min(2);
    const int nine = co_await pool.apply<square>(3).deadline(std::chrono::hours::max());
    CHECK(nine == 9);
    const auto all = co_await pool.map<square>(numbers(100)).deadline(std::chrono::years::max());
    CHECK(all == squares(100));
    auto call = pool.submit<square>(4).deadline(std::chrono::duration<double>::max());
    const int sixteen = co_await call;
    CHECK(sixteen == 16);
    const bool died = co_await throws<brood::child_died>(pool.apply<wait_for_ever>(1).deadline(-1h));
    CHECK(died);
    co_await pool.close();
  });
}

TEST_CASE("a pool is closed while the arena is full, and its workers are reaped") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    co_await use(pool);
    const full_arena full;
    co_await pool.close();
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a full arena fails every form of call that needs memory, and none later") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    co_await use(pool);
    for (int round = 0; round < 2; ++round) {
      const std::string large = long_text(100'000);
      const std::vector<std::string> texts(20, large);
      auto small = pool.imap<square>(numbers(10));
      {
        const full_arena full;
        const int nine = co_await pool.apply<square>(3);  // travels in the lane
        CHECK(nine == 9);
        const bool opened = co_await lacks_memory(brood::pool::open(2));
        CHECK(opened);
        const bool applied = co_await lacks_memory(pool.apply<twice>(large));
        CHECK(applied);
        const bool given = co_await lacks_memory(pool.apply<long_text>(100'000));
        CHECK(given);
        const bool submitted = co_await lacks_memory(pool.submit<twice>(large));
        CHECK(submitted);
        const bool mapped = co_await lacks_memory(pool.map<twice>(texts));
        CHECK(mapped);
        const bool results = co_await lacks_memory(pool.map<long_text>(std::vector<int>(20, 100'000)));
        CHECK(results);
        const bool streamed = co_await lacks_memory(length_of(pool.imap<twice>(texts)));
        CHECK(streamed);
        const bool unordered =
            co_await lacks_memory(length_of(pool.imap_unordered<long_text>(std::vector<int>(20, 100'000))));
        CHECK(unordered);
        const int length = co_await length_of(std::move(small));
        CHECK(length == 10);
      }
      co_await use(pool);
    }
    CHECK(pool.stats().workers_died == 0);
    co_await pool.close();
  });
}

TEST_CASE(
    "a full arena keeps a worker from being replaced: who waits is told, and the next call starts one") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1).min(0);
    {
      const full_arena full;
      for (int i = 0; i < 3; ++i) {
        const bool refused = co_await lacks_memory(pool.apply<square>(3));
        CHECK(refused);
      }
    }
    co_await use(pool);
    co_await pool.close();
  });
}

TEST_CASE("a pool cannot be opened without descriptors, and can be with them") {
  run_balanced([]() -> brood::task<> {
    {
      const no_descriptors none;
      std::error_code why;
      try {
        static_cast<void>(co_await brood::pool::open(2));
      } catch (const std::system_error& e) {
        why = e.code();
      }
      CHECK(why == std::errc::too_many_files_open);
    }
    CHECK(brood::active_children().empty());
    auto pool = co_await brood::pool::open(2);
    co_await use(pool);
    co_await pool.close();
  });
}

TEST_CASE(
    "a worker that cannot be started for want of descriptors fails who waits for it, and no later call") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2).min(0);
    for (int round = 0; round < 2; ++round) {
      const no_descriptors none;
      const bool applied = co_await throws<std::system_error>(pool.apply<square>(3));
      CHECK(applied);
      const bool mapped = co_await throws<std::system_error>(pool.map<square>(numbers(10)));
      CHECK(mapped);
      const bool streamed = co_await throws<std::system_error>(length_of(pool.imap<square>(numbers(10))));
      CHECK(streamed);
      const bool submitted = co_await throws<std::system_error>(pool.submit<square>(3));
      CHECK(submitted);
    }
    co_await use(pool);
    co_await pool.close();
  });
}

TEST_CASE("a worker that dies while there are no descriptors is replaced later at the latest") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    {
      const no_descriptors none;
      for (int i = 0; i < 4; ++i) {
        try {
          const int pid = co_await pool.apply<raise_signal>(SIGKILL);
          static_cast<void>(pid);
        } catch (const brood::child_died&) {
        } catch (const std::system_error&) {  // its own descriptor went to somebody else
        }
      }
    }
    co_await use(pool);
    co_await pool.close();
  });
}

TEST_CASE("a pool that is used on another thread says so") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    auto call = pool.submit<square>(3);
    int refused = 0;
    std::thread elsewhere([&] {
      brood::runtime loop;
      loop.run_until_complete([&]() -> brood::task<> {
        refused += co_await throws<std::logic_error>(pool.apply<square>(3)) ? 1 : 0;
        refused += co_await throws<std::logic_error>(pool.map<square>(numbers(3))) ? 1 : 0;
        refused += co_await throws<std::logic_error>(length_of(pool.imap<square>(numbers(3)))) ? 1 : 0;
        refused += co_await throws<std::logic_error>(pool.close()) ? 1 : 0;
        refused += co_await throws<std::logic_error>(pool.join()) ? 1 : 0;
      }());
      try {
        static_cast<void>(pool.submit<square>(3));
      } catch (const std::logic_error&) {
        ++refused;
      }
      try {
        call.cancel();
      } catch (const std::logic_error&) {
        ++refused;
      }
    });
    elsewhere.join();
    CHECK(refused == 7);
    const int nine = co_await call;
    CHECK(nine == 9);
    co_await pool.close();
  });
}

TEST_CASE("an input that throws what is no exception, wherever it does, ends its own call") {
  run_balanced([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(2);
    for (const place where : {place::begin, place::increment, place::value, place::comparison}) {
      for (const std::uint64_t chunk : {1u, 4u}) {
        const odd_range items(where);
        bool mapped = false;
        try {
          static_cast<void>(co_await pool.map<square>(items).chunk(chunk));
        } catch (int) {
          mapped = true;
        }
        CHECK(mapped);
        bool streamed = false;
        try {
          auto stream = pool.imap<square>(items).chunk(chunk);
          static_cast<void>(co_await length_of(std::move(stream)));
        } catch (int) {
          streamed = true;
        }
        CHECK(streamed);
      }
    }
    for (const int after : {0, 5}) {
      int caught = 0;
      try {
        static_cast<void>(co_await length_of(pool.imap<square>(number_that_throws(after))));
      } catch (int number) {
        caught = number;
      }
      CHECK(caught == 7);
    }
    int told = 0;
    try {
      co_await pool.map<square>(numbers(100)).progress([](std::uint64_t, std::uint64_t) { throw 7; });
    } catch (int number) {
      told = number;
    }
    CHECK(told == 7);
    const bool opened =
        co_await throws<brood::remote_error>(brood::pool::open(2).initializer<throw_a_number>());
    CHECK(opened);
    co_await use(pool);
    co_await pool.close();
  });
}

// Run by the test below, in a program of its own.
TEST_CASE("drops a pool with a job under way", "[.drop]") {
  brood::runtime loop;
  loop.run_until_complete([]() -> brood::task<> {
    auto pool = co_await brood::pool::open(1);
    static_cast<void>(pool.submit<wait_for_ever>(1));
  }());
}

TEST_CASE("a pool that is dropped says so, unless the log is silent") {
  run_clean([]() -> brood::task<> {
    for (const std::string level : {"errors", "silent"}) {
      const auto ended =
          co_await brood::command("/proc/self/exe", "[.drop]").env("BROOD_LOG", level).output();
      CHECK(ended.status.success());
      CHECK((ended.err == "brood: a pool was dropped with 1 job under way\n") == (level == "errors"));
      CHECK(ended.err.empty() == (level == "silent"));
    }
  });
}
