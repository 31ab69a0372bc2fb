// Shared objects as arguments and results of children, and what happens to them when a child dies.
#include <unistd.h>

#include <csignal>

#include "brood/arena/family_memory.hpp"
#include "brood/channel/queue.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

namespace {

std::uint64_t blocks_in_use() { return brood::family_memory::get().statistics().blocks; }

/// Runs `body` and checks that shared memory holds as many blocks as before.
template <class Body>
void run_balanced(Body body) {
  run_clean(body);  // whatever this process allocates once
  const std::uint64_t before = blocks_in_use();
  run_clean(body);
  CHECK(blocks_in_use() == before);
}

brood::task<> produce(brood::queue<int> to, int count) {
  for (int i = 0; i < count; ++i) co_await to.put(i);
}

brood::task<int> sum(brood::queue<int> from) {
  int total = 0;
  while (auto next = co_await from.next()) total += *next;
  co_return total;
}

brood::task<brood::queue<std::string>> filled_queue() {
  brood::queue<std::string> made(4);
  co_await made.put(std::string("kept"));
  co_return made;
}

brood::task<int> relay_to_a_grandchild(brood::queue<int> from) {
  auto grandchild = co_await brood::spawn<sum>(from);
  co_return co_await grandchild.result();
}

brood::task<> hold_a_lease_for_ever(brood::queue<int> from, brood::queue<int> ready) {
  auto lease = co_await from.get_leased();
  co_await ready.put(*lease);
  for (;;) pause();
}

}  // namespace

TEST_CASE("a queue that is a child's argument joins parent and child") {
  run_balanced([]() -> brood::task<> {
    brood::queue<int> numbers(16);
    auto producer = co_await brood::spawn<produce>(numbers, 1000);
    auto consumer = co_await brood::spawn<sum>(numbers);
    co_await producer.result();
    numbers.close();
    const int total = co_await consumer.result();
    CHECK(total == 499500);
  });
}

TEST_CASE("a queue that the parent has dropped lives on in its children") {
  run_balanced([]() -> brood::task<> {
    auto make = []() -> brood::task<brood::process<int>> {
      brood::queue<int> numbers(16);
      for (int i = 0; i < 10; ++i) co_await numbers.put(i);
      numbers.close();
      co_return co_await brood::spawn<sum>(numbers);
    };
    auto consumer = co_await make();
    const int total = co_await consumer.result();
    CHECK(total == 45);
  });
}

TEST_CASE("a queue that a child made and gave as its result outlives the child") {
  run_balanced([]() -> brood::task<> {
    auto child = co_await brood::spawn<filled_queue>();
    auto made = co_await child.result();
    auto text = co_await made.get();
    CHECK(text == "kept");
  });
}

TEST_CASE("a queue reaches a grandchild") {
  run_balanced([]() -> brood::task<> {
    brood::queue<int> numbers(16);
    auto child = co_await brood::spawn<relay_to_a_grandchild>(numbers);
    for (int i = 0; i < 100; ++i) co_await numbers.put(i);
    numbers.close();
    const int total = co_await child.result();
    CHECK(total == 4950);
  });
}

TEST_CASE("a child killed with a lease gives its item back") {
  run_balanced([]() -> brood::task<> {
    brood::queue<int> items(4);
    brood::queue<int> ready(4);
    co_await items.put(7);
    auto holder = co_await brood::spawn<hold_a_lease_for_ever>(items, ready);
    const int leased = co_await ready.get();
    CHECK(leased == 7);
    holder.kill();
    const int again = co_await items.get();
    CHECK(again == 7);
    co_await holder.join();
  });
}
