// Queues in the engine: order, leases, closing, full ones; and what becomes of them when it is killed.
#include "brood/cluster/concepts.hpp"

#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/cluster/connect.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "engine.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::task;
using brood::test::engine;
using brood::test::run_clean_beside;

static_assert(brood::is_queue_of<brood::queue<int>, int>);
static_assert(brood::is_queue_of<brood::cluster::queue<int>, int>);

namespace {

const brood::authkey key("a key of thirty-two random bytes.");

auto join(const engine& server) { return brood::cluster::connect(server.address(), key).lease(2s); }

template <class Queue>
task<int> sum_of_three(Queue q) {
  for (int i = 1; i <= 3; ++i) co_await q.put(i);
  int sum = 0;
  for (int i = 0; i < 3; ++i) sum += co_await q.get();
  co_return sum;
}

}  // namespace

TEST_CASE("items come out in the order they were put, whoever takes them") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto b = co_await join(server);
    auto put = a.queue<std::string>("q");
    auto get = b.queue<std::string>("q");
    std::vector<std::string> words;
    for (int i = 0; i < 1000; ++i) words.push_back(std::to_string(i));
    co_await put.put_many(words);
    std::vector<std::string> got;
    while (got.size() < words.size()) {
      for (auto& each : co_await get.get_many(64)) got.push_back(each);
    }
    CHECK(got == words);
    co_await put.join();
    co_await a.close();
    co_await b.close();
  });
  CHECK(server.ask("keys '*'") == "{brood:brood}:q:q:c");
}

TEST_CASE("one function works with a queue of the family and one of the cluster") {
  const engine server;
  run_clean([&]() -> task<> {
    auto c = co_await join(server);
    const int far = co_await sum_of_three(c.queue<int>("q"));
    const int near = co_await sum_of_three(brood::queue<int>());
    CHECK(far == 6);
    CHECK(near == 6);
    co_await c.close();
  });
}

TEST_CASE("a get waits for a put, and a put for room") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto b = co_await join(server);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](brood::cluster::queue<int> q) -> task<> {
        for (int i = 0; i < 20; ++i) co_await q.put(i);
        co_await q.close();
      }(a.queue<int>("q", 2)));
      auto q = b.queue<int>("q", 2);
      int next = 0;
      while (auto item = co_await q.next()) CHECK(*item == next++);
      CHECK(next == 20);
    });
    auto full = a.queue<int>("full", 1);
    const bool first = co_await full.try_put(1);
    const bool second = co_await full.try_put(2);
    CHECK(first);
    CHECK(!second);
    auto other = a.queue<int>("full", 7);
    try {
      co_await other.put(1);
      FAIL("two capacities");
    } catch (const brood::error& e) {
      CHECK_THAT(e.what(), contains_text("capacity of 1"));
    }
    co_await a.close();
    co_await b.close();
  });
}

TEST_CASE("what was on lease comes back, to its old place") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto q = a.queue<int>("q");
    std::vector<int> three{1, 2, 3};
    co_await q.put_many(three);
    {
      auto dropped = co_await q.get_leased();
      CHECK(*dropped == 1);
    }
    auto again = co_await q.get_leased();
    CHECK(*again == 1);
    co_await again.settle();
    auto late = co_await q.get_leased();
    CHECK(*late == 2);
    {
      auto b = co_await join(server);
      auto held = co_await b.queue<int>("q").get_leased();
      CHECK(*held == 3);
      co_await b.close();  // leaves with a lease
      CHECK(held.is_lost());
      CHECK_THROWS_AS(held.done(), brood::cluster::lease_lost);
    }
    auto third = co_await q.get_leased();
    CHECK(*third == 3);
    CHECK(third.losses() == 0);  // it left, it was not lost
    third.done();
    late.done();
    CHECK_THROWS_AS(late.done(), std::logic_error);
    co_await q.join();
    co_await a.close();
  });
}

TEST_CASE("a get that is cancelled takes nothing") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto q = a.queue<int>("q");
    for (int i = 0; i < 50; ++i) {
      co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
        n.start([](brood::cluster::queue<int> from) -> task<> { co_await from.get_leased(); }(q));
        co_await q.put(i);
        n.cancel();
      });
      auto item = co_await q.get();  // none is lost, whatever the getter had got as far as
      CHECK(item == i);
    }
    co_await q.join();
    co_await a.close();
  });
}

TEST_CASE("the engine is killed and restarted: nothing is lost with appendfsync always") {
  engine server({"--appendonly", "yes", "--appendfsync", "always", "--save", ""});
  run_clean_beside(server, [&]() -> task<> {
    auto a = co_await join(server).require(brood::cluster::durability::always);
    auto b = co_await join(server);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](brood::cluster::queue<int> q) -> task<> {
        for (int i = 0; i < 600; ++i) co_await q.put(i);
      }(a.queue<int>("q")));
      auto q = b.queue<int>("q");
      for (int i = 0; i < 600; ++i) {
        const int item = co_await q.get();
        CHECK(item == i);
        if (i % 200 == 100) {
          server.kill();
          server.start();
        }
      }
    });
    co_await a.queue<int>("q").join();
    const auto state = co_await a.queue<int>("q").state();
    CHECK(state.ready == 0);
    CHECK(state.leased == 0);
    co_await a.close();
    co_await b.close();
  });
}

TEST_CASE("the engine loses everything: waiting gets and puts go on with the empty one") {
  engine server;
  run_clean_beside(server, [&]() -> task<> {
    auto a = co_await join(server);
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](brood::cluster::queue<int> q) -> task<> {
        const int item = co_await q.get();
        CHECK(item == 5);
      }(a.queue<int>("q")));
      co_await a.queue<int>("other").put(1);
      server.kill();
      server.start();
      co_await a.queue<int>("q").put(5);
    });
    co_await a.close();
  });
}

TEST_CASE("an item that cannot be decoded is dropped alone, and no lease of it stays") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto q = a.queue<int>("q");
    auto other = a.queue<std::string>("q");
    const std::string no_number = "no number";
    co_await q.put(1);
    co_await other.put(no_number);
    co_await q.put(3);
    bool thrown = false;
    try {
      co_await q.get_many(8);
    } catch (const brood::decode_error&) {
      thrown = true;
    }
    CHECK(thrown);
    for (const int wanted : {1, 3}) {
      const int got = co_await q.get();
      CHECK(got == wanted);
    }
    co_await other.put(no_number);
    thrown = false;
    try {
      co_await q.get_leased();
    } catch (const brood::decode_error&) {
      thrown = true;
    }
    CHECK(thrown);
    co_await q.join();
    co_await a.close();
  });
}

TEST_CASE("an item that no member has put is dropped") {
  const engine server;
  run_clean([&]() -> task<> {
    auto a = co_await join(server);
    auto q = a.queue<int>("q");
    co_await q.put(1);
    const std::string entry = server.ask("--raw hkeys '{brood:brood}:q:q:e'");
    server.ask("hset '{brood:brood}:q:q:e' " + entry + " 'forged forged forged forged forged forged'");
    co_await q.put(2);
    const int item = co_await q.get();
    CHECK(item == 2);
    co_await q.join();
    co_await a.close();
  });
}
