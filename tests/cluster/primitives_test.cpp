// Dicts, locks, semaphores and events of a cluster; who may join one.
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <string>

#include "brood/cluster/concepts.hpp"
#include "brood/cluster/connect.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/sync/lock.hpp"
#include "engine.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::task;
using brood::test::engine;
using brood::test::run_clean_beside;

static_assert(brood::is_lock<brood::lock>);
static_assert(brood::is_lock<brood::cluster::lock>);

namespace {

const brood::authkey key("a key of thirty-two random bytes.");

auto join(const engine& server) { return brood::cluster::connect(server.address(), key).lease(1s); }

task<> add(brood::cluster::client c, int times) {
  auto d = c.dict<std::string, std::int64_t>("d");
  for (int i = 0; i < times; ++i) {
    co_await d.fetch_add("sum", 1);
    for (;;) {
      const auto before = co_await d.get("product");
      const bool swapped = co_await d.compare_exchange("product", before, before.value_or(0) + 2);
      if (swapped) break;
    }
  }
}

}  // namespace

TEST_CASE("a dict does what the manager's does") {
  const engine server;
  run_clean([&]() -> task<> {
    auto c = co_await join(server);
    auto d = c.dict<std::string, std::string>("words");
    co_await d.set("a", "1");
    const auto a = co_await d.get("a");
    CHECK(a == "1");
    const auto none = co_await d.get("b");
    CHECK(!none);
    const auto kept = co_await d.get_or_set("a", "2");
    CHECK(kept == "1");
    const bool there = co_await d.contains("a");
    CHECK(there);
    co_await d.set("b", "x");
    std::map<std::string, std::string> all;
    auto each = d.each();
    while (auto pair = co_await each.next()) all.insert(*pair);
    CHECK(all == std::map<std::string, std::string>{{"a", "1"}, {"b", "x"}});
    const auto popped = co_await d.pop("b");
    CHECK(popped == "x");
    const bool erased = co_await d.erase("b");
    CHECK(!erased);
    const auto size = co_await d.size();
    CHECK(size == 1);
    co_await d.clear();
    auto numbers = c.dict<int, std::int64_t>("numbers");
    co_await numbers.set(1, std::numeric_limits<std::int64_t>::max() - 1);
    const auto before = co_await numbers.fetch_add(1, 1);  // no double holds it
    CHECK(before == std::numeric_limits<std::int64_t>::max() - 1);
    bool refused = false;
    try {
      co_await numbers.fetch_add(1, 1);
    } catch (const brood::cluster::engine_refused&) {
      refused = true;
    }
    CHECK(refused);
    co_await numbers.clear();
    co_await c.close();
  });
  CHECK(server.ask("keys '*'").empty());
}

TEST_CASE("what is added is added once, though the engine is killed meanwhile") {
  engine server({"--appendonly", "yes", "--appendfsync", "always", "--save", ""});
  run_clean_beside(server, [&]() -> task<> {
    auto a = co_await join(server).lease(10s);
    auto b = co_await join(server).lease(10s);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(add(a, 300));
      n.start(add(b, 300));
      auto d = a.dict<std::string, std::int64_t>("d");
      for (int kills = 1; kills <= 3; ++kills) {
        for (;;) {
          const auto sum = co_await d.get("sum");
          if (sum.value_or(0) > 100 * kills) break;
        }
        server.kill();
        server.start();
      }
    });
    auto d = a.dict<std::string, std::int64_t>("d");
    const auto sum = co_await d.get("sum");
    const auto product = co_await d.get("product");
    CHECK(sum == 600);
    CHECK(product == 1200);
    co_await a.close();
    co_await b.close();
  });
}

TEST_CASE("a lock is held by one, first come, first served, and its tokens grow") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto b = co_await join(server);
    std::uint64_t last = 0;
    int inside = 0;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (int i = 0; i < 20; ++i) {
        n.start([](brood::cluster::lock l, int& within, std::uint64_t& token) -> task<> {
          auto guard = co_await l.acquire();
          CHECK(++within == 1);
          CHECK(guard.token() > token);
          CHECK(!guard.abandoned());
          token = guard.token();
          co_await brood::yield();
          --within;
        }((i % 2 == 0 ? a : b).lock("l"), inside, last));
      }
      co_return;
    });
    auto held = co_await a.lock("l").acquire();
    auto refused = co_await b.lock("l").try_acquire();
    CHECK(!refused);
    bool gave_up = false;
    try {
      co_await brood::with_timeout(20ms, b.lock("l").acquire());
    } catch (const brood::timed_out&) {
      gave_up = true;
    }
    CHECK(gave_up);
    held.release();
    auto free = co_await b.lock("l").acquire();  // nobody's turn was lost
    CHECK(free);
    co_await a.close();
    co_await b.close();
  });
  CHECK(server.ask("keys '*'").empty());
}

TEST_CASE("a semaphore has as many permits as it was made with") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto s = a.semaphore("s", 2);
    auto one = co_await s.acquire();
    auto two = co_await s.acquire();
    auto three = co_await s.try_acquire();
    CHECK(!three);
    one.release();
    CHECK_THROWS_AS(one.release(), std::logic_error);
    auto four = co_await s.acquire();
    CHECK(four.token() > two.token());
    auto other = a.semaphore("s", 3);
    bool refused = false;
    try {
      co_await other.acquire();
    } catch (const brood::error&) {
      refused = true;
    }
    CHECK(refused);
    co_await a.close();
  });
}

TEST_CASE("an event wakes all who wait for it") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto b = co_await join(server);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) n.start((i % 2 == 0 ? a : b).event("e").wait());
      co_await a.event("e").set();
    });
    const bool set = co_await b.event("e").is_set();
    CHECK(set);
    co_await b.event("e").clear();
    const bool cleared = co_await a.event("e").is_set();
    CHECK(!cleared);
    co_await a.close();
    co_await b.close();
  });
  CHECK(server.ask("keys '*'").empty());
}

TEST_CASE("a member with another key is told so, and a host that is no member gets nothing") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    bool refused = false;
    try {
      co_await brood::cluster::connect(server.address(), brood::authkey("another"));
    } catch (const brood::authentication_error&) {
      refused = true;
    }
    CHECK(refused);
    co_await a.close();
  });
}

TEST_CASE("an engine that may lose what it must keep is refused") {
  SECTION("eviction") {
    const engine server({"--maxmemory-policy", "allkeys-lru", "--save", ""});
    run_clean([&]() -> task<> {
      std::string why;
      try {
        co_await join(server);
      } catch (const brood::cluster::engine_refused& e) {
        why = e.what();
      }
      CHECK_THAT(why, contains_text("noeviction"));
    });
  }
  SECTION("durability") {
    const engine server;
    run_clean([&]() -> task<> {
      std::string why;
      try {
        co_await join(server).require(brood::cluster::durability::everysec);
      } catch (const brood::cluster::engine_refused& e) {
        why = e.what();
      }
      CHECK_THAT(why, contains_text("appendonly"));
    });
  }
  SECTION("a wrong password") {
    const engine server({"--requirepass", "right", "--save", ""});
    run_clean([&]() -> task<> {
      std::string why;
      try {
        co_await join(server).user("", "wrong");
      } catch (const brood::cluster::engine_refused& e) {
        why = e.what();
      }
      CHECK_THAT(why, contains_text("WRONGPASS"));
      auto c = co_await join(server).user("", "right");
      co_await c.close();
    });
  }
  SECTION("nobody there") {
    run_clean([&]() -> task<> {
      std::string why;
      try {
        co_await brood::cluster::connect("unix:/nonexistent/socket", key).lease(200ms).patience(100ms);
      } catch (const brood::cluster::engine_unavailable& e) {
        why = e.what();
      }
      CHECK_THAT(why, contains_text("/nonexistent/socket"));
    });
  }
}

TEST_CASE("a put that finds no memory is refused, and what settles is not") {
  engine server({"--save", ""});
  run_clean_beside(server, [&]() -> task<> {
    auto c = co_await join(server);
    auto q = c.queue<std::string>("q");
    co_await q.put("before");
    auto leased = co_await q.get_leased();
    server.ask("config set maxmemory 1");
    std::string why;
    try {
      co_await q.put("more");
    } catch (const brood::cluster::engine_refused& e) {
      why = e.what();
    }
    CHECK_THAT(why, contains_text("OOM"));
    co_await leased.settle();
    server.ask("config set maxmemory 0");
    co_await q.put("after");
    const auto after = co_await q.get();
    CHECK(after == "after");
    co_await c.close();
  });
}

TEST_CASE("keys come only from files that nobody else can read") {
  char name[] = "/tmp/brood-key-XXXXXX";
  const brood::unique_fd file(mkostemp(name, O_CLOEXEC));
  REQUIRE(write(file.get(), "secret\n", 7) == 7);
  CHECK(brood::cluster::key_from_file(name).bytes().size() == 6);
  fchmod(file.get(), 0640);
  CHECK_THROWS_AS(brood::cluster::key_from_file(name), std::invalid_argument);
  fchmod(file.get(), 0600);
  REQUIRE(ftruncate(file.get(), 0) == 0);
  CHECK_THROWS_AS(brood::cluster::key_from_file(name), std::invalid_argument);
  std::filesystem::remove(name);
  CHECK_THROWS_AS(brood::cluster::key_from_file(name), std::system_error);
}
