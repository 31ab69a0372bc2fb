// shared_buffer: bytes that several processes see, and that go with their last handle.
#include "brood/channel/shared_buffer.hpp"

#include <algorithm>
#include <string>

#include "brood/channel/pipe.hpp"
#include "brood/channel/queue.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace brood;
using test::in_loop;
using test::memory;

TEST_CASE("constructed and never used") {
  memory m;
  const shared_buffer none;
  CHECK(none.empty());
  CHECK(none.data() == nullptr);
  const shared_buffer some(1000);
  CHECK(some.size() == 1000);
  CHECK(reinterpret_cast<std::uintptr_t>(some.data()) % 64 == 0);
  CHECK(shared_buffer(0).empty());
  CHECK_THROWS_AS(shared_buffer(std::size_t{1} << 40), arena_full);
}

TEST_CASE("copies name the same bytes, also one that went through a queue") {
  memory m;
  const shared_buffer a(100'000);
  const shared_buffer b = a;
  std::ranges::fill(a.bytes(), std::byte(7));
  CHECK(b[99'999] == std::byte(7));
  queue<shared_buffer> q(4);
  CHECK(q.try_put(a));
  CHECK(q.try_put(shared_buffer()));
  const auto back = q.try_get();
  REQUIRE(back.has_value());
  CHECK(*back == a);
  CHECK(back->data() == a.data());
  CHECK(q.try_get()->empty());
  CHECK(q.try_put(a));  // goes with the queue
}

TEST_CASE("a message keeps it, and the last handle frees it") {
  memory m;
  const std::uint64_t before = family_memory::get().statistics().bytes_used;
  {
    queue<shared_buffer> q(4);
    shared_buffer buffer(3'000'000);
    CHECK(q.try_put(buffer));
    buffer = shared_buffer();
    CHECK(family_memory::get().statistics().bytes_used > before + 3'000'000);
    CHECK(q.try_get()->size() == 3'000'000);
    CHECK(family_memory::get().statistics().bytes_used < before + 1'000'000);
  }
}

TEST_CASE("handed to a child and back through a pipe, without a copy") {
  memory m;
  const auto [ours, theirs] = brood::pipe<shared_buffer>();
  test::child child([=, here = theirs, there = ours] {
    there.close();
    in_loop([=]() -> task<> {
      for (int i = 0; i < 200; ++i) {
        const shared_buffer buffer = co_await here.recv();
        for (std::byte& b : buffer) b ^= std::byte(0xff);
        co_await here.send(buffer);
      }
    });
  });
  in_loop([&, c = ours]() -> task<> {
    shared_buffer buffer(10'000);
    std::ranges::fill(buffer, std::byte(1));
    for (int i = 0; i < 200; ++i) {
      co_await c.send(buffer);
      const shared_buffer back = co_await c.recv();
      if (!(back == buffer)) FAIL("another buffer");
    }
    CHECK(std::ranges::count(buffer, std::byte(1)) == 10'000);
  });
  CHECK(child.join() == 0);
}

TEST_CASE("a killed holder's buffers come back") {
  memory m;
  queue<shared_buffer> q(4);
  queue<int> ready(1);
  test::child victim([=] {
    in_loop([=]() -> task<> {
      const shared_buffer taken = co_await q.get();
      const shared_buffer own(5'000'000);
      co_await ready.put(1);
      co_await q.get();
    });
  });
  in_loop([&]() -> task<> {
    const std::uint64_t before = family_memory::get().statistics().bytes_used;
    co_await q.put(shared_buffer(5'000'000));
    co_await ready.get();
    CHECK(family_memory::get().statistics().bytes_used > before + 10'000'000);
    victim.kill();
    CHECK(victim.join() == -SIGKILL);
    CHECK(family_memory::get().statistics().bytes_used <= before);
  });
}

TEST_CASE("a buffer in hostile bytes is a decode_error") {
  memory m;
  const shared_buffer buffer(100);
  const bytes good = encode(buffer);
  CHECK(decode<shared_buffer>(good) == buffer);
  for (std::size_t i = 0; i < good.size(); ++i) {
    bytes bad = good;
    bad[i] ^= std::byte(1);
    CHECK_THROWS_AS(decode<shared_buffer>(bad), decode_error);
  }
  CHECK_THROWS_AS(decode<shared_buffer>(encode(queue<int>(3))), decode_error);
}
