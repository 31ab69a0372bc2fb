// queue<T>: what its awaitables promise, within one process and between forks.
// (Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.)
#include "brood/channel/queue.hpp"

#include <sched.h>

#include <chrono>
#include <map>
#include <numeric>
#include <string>

#include "brood/arena/detail/wake_port.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"
#include "scale.hpp"

using namespace brood;
using namespace std::chrono_literals;

using test::in_loop;
using test::memory;

TEST_CASE("constructed and never used") {
  memory m;
  queue<int> q(10);
  CHECK(q.empty());
  CHECK_FALSE(q.full());
  CHECK(q.size() == 0);
  CHECK(q.capacity() == 10);
  CHECK(queue<int>().capacity() == 1024);
  CHECK_THROWS_AS(queue<int>(0), std::invalid_argument);
}

TEST_CASE("test_put, test_get, test_qsize: first in, first out, up to the capacity") {
  memory m;
  queue<int> q(3);
  CHECK(q.try_put(1));
  CHECK(q.try_put(2));
  CHECK(q.size() == 2);
  CHECK(q.try_put(3));
  CHECK(q.full());
  CHECK_FALSE(q.try_put(4));
  CHECK(q.try_get() == 1);
  CHECK(q.try_put(4));
  for (int i = 2; i <= 4; ++i) CHECK(q.try_get() == i);
  CHECK_FALSE(q.try_get().has_value());
  CHECK(q.empty());
}

TEST_CASE("copies name the same queue, also a default one that was copied before its first use") {
  memory m;
  queue<std::string> a;
  queue<std::string> b = a;
  CHECK(a == b);
  CHECK(a.try_put("x"));
  CHECK(b.try_get() == "x");
}

TEST_CASE("a queue that was moved from names the same queue, not a new one in which nobody finds anything") {
  memory m;
  queue<int> first(3);
  queue<int> second = std::move(first);
  CHECK(first == second);
  queue<int> third;
  third = std::move(second);
  CHECK(third.try_put(7));
  CHECK(first.try_get() == 7);
}

TEST_CASE("strings of every size, inline and in blocks") {
  memory m;
  queue<std::string> q(100);
  for (const std::size_t size : {0u, 1u, 100u, 240u, 247u, 248u, 249u, 1000u, 70'000u, 3'000'000u}) {
    CHECK(q.try_put(std::string(size, 'a')));
    CHECK(q.try_put(std::string(size, 'b')));
    CHECK(*q.try_get() == std::string(size, 'a'));
    CHECK(*q.try_get() == std::string(size, 'b'));
  }
  CHECK(q.try_put(std::string(5000, 'x')));  // left inside: goes with the queue
  CHECK(q.try_put(std::string(500'000, 'x')));
}

TEST_CASE("an unbounded queue grows, in order, up to the arena's limit") {
  memory m(32 << 20);
  queue<std::uint64_t> q(unbounded());
  for (std::uint64_t i = 0; i < 5; ++i) CHECK(q.try_put(i));
  for (std::uint64_t i = 0; i < 5; ++i) CHECK(q.try_get() == i);
  std::uint64_t put = 0;
  CHECK_THROWS_AS(
      [&] {
        for (;; ++put) {
          if (!q.try_put(put)) break;
        }
      }(),
      arena_full);
  CHECK(put > 100'000);
  CHECK(q.size() == put);
  for (std::uint64_t i = 0; i < put; ++i) REQUIRE(q.try_get() == i);
  CHECK(q.empty());
}

TEST_CASE("a full arena: the put that did not fit throws, the rest is untouched") {
  memory m(8 << 20);
  queue<std::string> q(unbounded());
  int put = 0;
  CHECK_THROWS_AS(
      [&] {
        for (;; ++put) q.try_put(std::string(100'000, static_cast<char>('a' + put % 26)));
      }(),
      arena_full);
  CHECK(q.size() == static_cast<std::uint64_t>(put));
  CHECK(q.try_put("small ones still fit"));
  for (int i = 0; i < put; ++i) CHECK(*q.try_get() == std::string(100'000, static_cast<char>('a' + i % 26)));
  CHECK(q.try_get() == "small ones still fit");
}

TEST_CASE("test_closed_queue_put_get_exceptions: closed for puts at once, for gets when drained") {
  memory m;
  in_loop([]() -> task<> {
    queue<int> q(4);
    co_await q.put(1);
    q.close();
    q.close();
    CHECK(q.is_closed());
    CHECK_THROWS_AS(q.try_put(2), closed);
    bool threw = false;
    try {
      co_await q.put(2);
    } catch (const closed&) {
      threw = true;
    }
    CHECK(threw);
    const auto got_1 = co_await q.get();
    CHECK(got_1 == 1);
    threw = false;
    try {
      co_await q.get();
    } catch (const closed&) {
      threw = true;
    }
    CHECK(threw);
    const auto got_12 = co_await q.next();
    CHECK_FALSE(got_12.has_value());
    CHECK_THROWS_AS(q.try_get(), closed);
  });
}

TEST_CASE("waiters of one process are served in order, and closing ends them all") {
  memory m;
  m.chunks = 1;
  in_loop([]() -> task<> {
    queue<int> q(2);
    std::vector<int> got;
    int ended = 0;
    const auto consumer = [&](int) -> task<> {
      while (auto item = co_await q.next()) got.push_back(*item);
      ++ended;
    };
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 20; ++i) n.start(consumer(i));
      for (int i = 0; i < 1000; ++i) co_await q.put(i);
      q.close();
    };
    co_await with_nursery(body);
    CHECK(ended == 20);
    CHECK(got.size() == 1000);
  });
}

TEST_CASE("a cancelled waiter has taken nothing, and passes its wake on") {
  memory m;
  in_loop([]() -> task<> {
    queue<int> q(2);
    for (int round = 0; round < 100; ++round) {
      bool late = false;
      try {
        co_await with_timeout(0ms, q.get());
      } catch (const timed_out&) {
        late = true;
      }
      CHECK(late);
    }
    int got = 0;
    const auto wait_for_one = [&]() -> task<> { got += co_await q.get(); };
    const auto body = [&](nursery& n) -> task<> {
      n.start(wait_for_one());
      co_await yield();
      co_await yield();
      CHECK(q.try_put(5));
    };
    co_await with_nursery(body);
    CHECK(got == 5);
  });
}

TEST_CASE("test_timeout: a full queue times out and keeps nothing") {
  memory m;
  in_loop([]() -> task<> {
    queue<std::string> q(1);
    co_await q.put(std::string(1000, 'a'));
    bool late = false;
    const auto begin = clock::now();
    try {
      co_await with_timeout(20ms, q.put(std::string(1000, 'b')));
    } catch (const timed_out&) {
      late = true;
    }
    CHECK(late);
    CHECK(clock::now() - begin >= 20ms);
    CHECK(q.size() == 1);
    const auto got_2 = co_await q.get();
    CHECK(got_2 == std::string(1000, 'a'));
  });
}

TEST_CASE("put_many and get_many") {
  memory m;
  in_loop([]() -> task<> {
    queue<int> q(1000);
    queue<std::string> words(10);
    std::vector<int> numbers(5000);
    std::iota(numbers.begin(), numbers.end(), 0);
    std::vector<std::string> texts(50, std::string(300, 'x'));
    std::vector<int> got;
    std::size_t got_texts = 0;
    const auto body = [&](nursery& n) -> task<> {
      n.start(q.put_many(numbers));
      n.start(words.put_many(texts));
      while (got.size() < numbers.size()) {
        const auto some = co_await q.get_many(700);
        CHECK(some.size() <= 700);
        got.insert(got.end(), some.begin(), some.end());
      }
      while (got_texts < texts.size()) got_texts += (co_await words.get_many(7)).size();
    };
    co_await with_nursery(body);
    CHECK(got == numbers);
  });
}

TEST_CASE("test_task_done: join waits for every task_done of four workers") {
  memory m;
  queue<int> q(100);
  queue<int> results(100);
  std::vector<test::child> workers;
  for (int i = 0; i < 4; ++i) {
    workers.emplace_back([=] {
      in_loop([=]() -> task<> {
        while (auto item = co_await q.next()) {
          co_await results.put(*item * 2);
          q.task_done();
        }
      });
    });
  }
  in_loop([&]() -> task<> {
    for (int i = 0; i < 40; ++i) co_await q.put(i);
    co_await q.join();
    CHECK(results.size() == 40);
    CHECK_THROWS_AS(q.task_done(), error);
    q.close();
  });
  for (auto& worker : workers) CHECK(worker.join() == 0);
}

TEST_CASE("test_fork: all items of all producers arrive, each producer's in order") {
  memory m;
  queue<std::pair<int, int>> q(64);
  constexpr int producers = 4;
  constexpr int each = 20'000;
  queue<std::pair<int, int>> sums(producers);
  std::vector<test::child> children;
  for (int p = 0; p < producers; ++p) {
    children.emplace_back([=] {
      in_loop([=]() -> task<> {
        for (int i = 0; i < each; ++i) {
          const std::pair<int, int> item(p, i);
          co_await q.put(item);
        }
      });
    });
  }
  in_loop([&]() -> task<> {
    std::map<int, int> next;
    for (int i = 0; i < producers * each; ++i) {
      const auto [p, n] = co_await q.get();
      if (n != next[p]) FAIL("out of order");
      ++next[p];
    }
    CHECK(next.size() == producers);
  });
  CHECK(q.empty());
  for (auto& c : children) CHECK(c.join() == 0);
}

TEST_CASE("a queue inside a queue: the message keeps it alive") {
  memory m;
  queue<queue<std::string>> letters(4);
  test::child c([=] {
    in_loop([=]() -> task<> {
      queue<std::string> reply = co_await letters.get();
      co_await reply.put("hello");
    });
  });
  in_loop([&]() -> task<> {
    queue<std::string> reply(1);
    co_await letters.put(reply);
    const auto got_3 = co_await reply.get();
    CHECK(got_3 == "hello");
  });
  CHECK(c.join() == 0);
  {
    queue<int> travelling(5);
    CHECK(travelling.try_put(42));
    queue<queue<int>> box(1);
    CHECK(box.try_put(travelling));
    travelling = queue<int>();
    auto back = box.try_get();
    REQUIRE(back.has_value());
    CHECK(back->try_get() == 42);
    CHECK(box.try_put(*back));  // goes with the box
  }
}

TEST_CASE("a handle in hostile bytes is a decode_error") {
  memory m;
  queue<int> q(5);
  queue<std::string> other(5);
  const bytes good = encode(q);
  CHECK(decode<queue<int>>(good) == q);
  CHECK_THROWS_AS(decode<queue<int>>(encode(other)), decode_error);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes bad = good;
      bad[i] ^= std::byte(1 << bit);
      CHECK_THROWS_AS(decode<queue<int>>(bad), decode_error);
    }
  }
  bytes stale;
  {
    queue<int> gone(5);
    stale = encode(gone);
  }
  CHECK_THROWS_AS(decode<queue<int>>(stale), decode_error);
  queue<int> in_its_place(5);
  CHECK_THROWS_AS(decode<queue<int>>(stale), decode_error);
}

TEST_CASE("leases: dropped ones come back to the front, done ones are gone") {
  memory m;
  in_loop([]() -> task<> {
    queue<std::string> q(10);
    for (const char* s : {"a", "b", "c"}) co_await q.put(s);
    co_await q.put(std::string(100'000, 'd'));
    {
      auto a = co_await q.get_leased();
      auto b = co_await q.get_leased();
      CHECK(*a == "a");
      CHECK(*b == "b");
      CHECK(q.size() == 2);
      auto moved = std::move(b);
    }
    CHECK(q.size() == 4);
    auto a = co_await q.get_leased();
    CHECK(*a == "a");
    a.done();
    CHECK_THROWS_AS(a.done(), std::logic_error);
    const auto got_4 = co_await q.get();
    CHECK(got_4 == "b");
    const auto got_5 = co_await q.get();
    CHECK(got_5 == "c");
    {
      auto d = co_await q.get_leased();
      CHECK(d->size() == 100'000);
    }
    auto d = co_await q.get_leased();
    CHECK(d->size() == 100'000);
    d.done();
    q.task_done();
    q.task_done();
    co_await q.join();
    q.close();
    const auto got_13 = co_await q.next_leased();
    CHECK_FALSE(got_13.has_value());
  });
}

TEST_CASE("a leased item of a killed consumer goes to another, also when the queue is closed") {
  memory m;
  queue<int> q(10);
  queue<int> got(10);
  for (int i = 0; i < 3; ++i) CHECK(q.try_put(i));
  q.close();
  test::child victim([=] {
    in_loop([=]() -> task<> {
      auto held = co_await q.get_leased();
      co_await got.put(-1);
      co_await sleep_for(1h);
    });
  });
  in_loop([&]() -> task<> {
    const int first = co_await got.get();
    CHECK(first == -1);
  });
  test::child heir([=] {
    in_loop([=]() -> task<> {
      while (auto l = co_await q.next_leased()) {
        co_await got.put(**l);
        l->done();
      }
      got.close();
    });
  });
  in_loop([&]() -> task<> {
    const auto got_6 = co_await got.get();
    CHECK(got_6 == 1);
    const auto got_7 = co_await got.get();
    CHECK(got_7 == 2);
    victim.kill();
    CHECK(victim.join() == -SIGKILL);
    const auto got_8 = co_await got.get();
    CHECK(got_8 == 0);
    const auto got_14 = co_await got.next();
    CHECK_FALSE(got_14.has_value());
  });
  CHECK(heir.join() == 0);
}

TEST_CASE("a killed waiter is not woken in place of a living one") {
  memory m;
  queue<int> q(10);
  queue<int> ready(10);
  const auto consumer = [=] {
    in_loop([=]() -> task<> {
      ready.try_put(1);
      co_await ready.put(co_await q.get() + 100);
    });
  };
  test::child first(consumer);
  in_loop([&]() -> task<> {
    const int first_ready = co_await ready.get();
    CHECK(first_ready == 1);
  });
  test::child second(consumer);
  in_loop([&]() -> task<> {
    const auto got_9 = co_await ready.get();
    CHECK(got_9 == 1);
    first.kill();
    CHECK(first.join() == -SIGKILL);
    co_await q.put(5);
    const auto got_10 = co_await ready.get();
    CHECK(got_10 == 105);
  });
  CHECK(second.join() == 0);
}

TEST_CASE("a thousand waiting consumers: one put wakes one process") {
  const memory m;
  queue<int> q(10);
  queue<std::uint64_t> wakes(2000);
  queue<int> got(10);
  const auto count = static_cast<std::size_t>(as_many_as_allowed(1000));
  std::vector<test::child> consumers;
  consumers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    consumers.emplace_back([=] {
      in_loop([=]() -> task<> {
        if (auto item = co_await q.next()) {
          co_await got.put(*item);
          co_await q.next();
        }
        co_await wakes.put(detail::wake_port::wakes());
      });
    });
  }
  in_loop([&]() -> task<> {
    while (q.waiting_consumers() < count) co_await yield();
    const std::uint64_t before = family_memory::get().wakes.rings_sent;
    co_await q.put(7);
    const auto got_11 = co_await got.get();
    CHECK(got_11 == 7);
    CHECK(q.waiting_consumers() >= count - 1);
    CHECK(family_memory::get().wakes.rings_sent - before <= 1);
    q.close();
    std::uint64_t all = 0;
    for (std::size_t i = 0; i < count; ++i) all += co_await wakes.get();
    CHECK(all <= count + 1);
  });
  for (auto& c : consumers) CHECK(c.join() == 0);
}

TEST_CASE("close wakes a thousand processes of which not one comes round to read its datagram") {
  const memory m;
  queue<int> q(10);
  const auto count = static_cast<std::size_t>(as_many_as_allowed(1000));
  std::vector<test::child> consumers;
  consumers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    consumers.emplace_back([=] { in_loop([=]() -> task<> { co_await q.next(); }); });
  }
  in_loop([&]() -> task<> {
    while (q.waiting_consumers() < count) co_await yield();
    for (const auto& c : consumers) ::kill(c.pid(), SIGSTOP);
    q.close();
    for (const auto& c : consumers) ::kill(c.pid(), SIGCONT);
  });
  for (auto& c : consumers) CHECK(c.join() == 0);
}

TEST_CASE("a closed queue with a lease out wakes who waits when the lease is settled, and not before") {
  memory m;
  queue<int> q(10);
  queue<int> start(10);
  queue<int> ended(10);
  constexpr int count = 8;
  std::vector<test::child> consumers;
  consumers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    consumers.emplace_back([=] {
      in_loop([=]() -> task<> {
        co_await start.next();
        const auto item = co_await q.next_leased();
        co_await ended.put(item.has_value() ? 1 : 0);
      });
    });
  }
  in_loop([&]() -> task<> {
    co_await q.put(1);
    auto lease = co_await q.get_leased();
    start.close();
    while (q.waiting_consumers() < count) co_await yield();
    q.close();
    CHECK(q.waiting_consumers() == count);
    lease.done();
    for (std::size_t i = 0; i < count; ++i) {
      const int had_item = co_await ended.get();
      CHECK(had_item == 0);
    }
  });
  for (auto& c : consumers) CHECK(c.join() == 0);
}
