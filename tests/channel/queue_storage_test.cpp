// What a queue keeps its messages in: rings that grow and drain, leases that come back, queues in queues.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <vector>

#include "arena_use.hpp"
#include "brood/channel/queue.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace brood;
using test::in_loop;

namespace {

/// The family's memory for one test. What must be back at the end is compared by `blocks_in_use`.
struct family {
  explicit family(std::size_t size = std::size_t{1} << 30) {
    if (family_memory::exists()) family_memory::detach();
    family_memory::create(size);
  }
  ~family() { family_memory::detach(); }
};

std::span<const std::byte> bytes_of(const int& value) { return std::as_bytes(std::span(&value, 1)); }

/// Runs `body` in a child, and says when it has come to where it stays until it is killed.
template <class Body>
class stopped_child {
 public:
  explicit stopped_child(Body body) : ends_(make_pipe()), child_([this, body] { body([this] { stay(); }); }) {
    ::close(ends_.second);
    char there = 0;
    REQUIRE(::read(ends_.first, &there, 1) == 1);
  }
  ~stopped_child() { ::close(ends_.first); }
  test::child& process() noexcept { return child_; }

 private:
  static std::pair<int, int> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    return {ends[0], ends[1]};
  }
  void stay() {
    if (::write(ends_.second, "!", 1) != 1) ::_exit(2);
    for (;;) ::pause();
  }
  std::pair<int, int> ends_;
  test::child child_;
};

}  // namespace

TEST_CASE("A14: a queue grows while somebody stands still in its taking end") {
  family m;
  const auto core = detail::queue_core::create(family_memory::get(), detail::unlimited, sizeof(int));
  stopped_child taker([&core](auto stay) {
    auto& state = core->memory().map.state_at<detail::queue_state>(core->name().block);
    detail::section_guard g(core->memory().processes, state.take_end);
    stay();
  });
  for (int i = 0; i < 1000; ++i) REQUIRE(core->put_inline(bytes_of(i)) == detail::put_outcome::done);
  taker.process().kill();
  CHECK(taker.process().join() == -SIGKILL);
  for (int i = 0; i < 1000; ++i) {
    int got = -1;
    REQUIRE(core->take_inline(std::as_writable_bytes(std::span(&got, 1))) == detail::take_outcome::done);
    REQUIRE(got == i);
  }
}

TEST_CASE("a queue that grows and drains in turns keeps its order and gives its rings back") {
  family m;
  const auto before = blocks_in_use();
  {
    queue<std::uint64_t> q{unbounded()};
    std::mt19937 random(7);
    std::uint64_t put = 0;
    std::uint64_t got = 0;
    for (int round = 0; round < 200; ++round) {
      for (std::uint64_t n = random() % 20'000; n > 0; --n) REQUIRE(q.try_put(put++));
      for (std::uint64_t n = random() % 20'000; n > 0 && got < put; --n) {
        const auto item = q.try_get();
        REQUIRE(item == got);
        ++got;
      }
      REQUIRE(q.size() == put - got);
    }
    while (got < put) REQUIRE(q.try_get() == got++);
    CHECK(q.empty());
  }
  CHECK(blocks_in_use() == before);
}

TEST_CASE("get_many takes across the ends of rings") {
  family m;
  in_loop([]() -> task<> {
    queue<int> q{unbounded()};
    std::vector<int> numbers(5000);
    for (int i = 0; i < 5000; ++i) numbers[static_cast<std::size_t>(i)] = i;
    co_await q.put_many(numbers);
    const auto got = co_await q.get_many(10'000);
    CHECK(got == numbers);
  });
}

TEST_CASE("a queue with a capacity never holds more, over many rings") {
  family m;
  queue<int> q(1000);
  for (int round = 0; round < 10; ++round) {
    int count = 0;
    while (q.try_put(round * 1000 + count)) ++count;
    REQUIRE(count == 1000);
    CHECK(q.full());
    for (int i = 0; i < 1000; ++i) REQUIRE(q.try_get() == round * 1000 + i);
  }
}

TEST_CASE("A9: a killed consumer's leases come back in order, however many there are") {
  family m(512 << 20);
  constexpr int items = 100'000;
  queue<int> q{unbounded()};
  for (int i = 0; i < items; ++i) REQUIRE(q.try_put(i));
  stopped_child consumer([&q](auto stay) {
    in_loop([q, stay]() -> task<> {
      std::vector<lease<int>> held;
      for (int i = 0; i < items; ++i) held.push_back(co_await q.get_leased());
      stay();
    });
  });
  CHECK(q.empty());
  consumer.process().kill();
  CHECK(consumer.process().join() == -SIGKILL);
  CHECK(q.size() == items);
  for (int i = 0; i < items; ++i) REQUIRE(q.try_get() == i);
  CHECK(q.empty());
}

TEST_CASE("leases that come back in any order are taken again oldest first") {
  family m;
  const auto before = blocks_in_use();
  in_loop([]() -> task<> {
    queue<int> q{unbounded()};
    for (int i = 0; i < 3000; ++i) CHECK(q.try_put(i));
    std::vector<lease<int>> held;
    for (int i = 0; i < 3000; ++i) held.push_back(co_await q.get_leased());
    std::shuffle(held.begin(), held.end(), std::mt19937(3));
    for (int i = 0; i < 1000; ++i) {
      held.back().done();
      held.pop_back();
    }
    std::vector<int> left;
    for (auto& l : held) left.push_back(*l);
    std::sort(left.begin(), left.end());
    held.clear();
    for (const int wanted : left) {
      const int got = co_await q.get();
      REQUIRE(got == wanted);
    }
    CHECK(q.empty());
    // Some are left in the list when the queue is taken apart.
    CHECK(q.try_put(1));
    CHECK(q.try_put(2));
    co_await q.get_leased();
  });
  CHECK(blocks_in_use() == before);
}

TEST_CASE("A19: messages that came back take no room from those who put") {
  family m;
  in_loop([]() -> task<> {
    queue<int> q(2);
    CHECK(q.try_put(1));
    CHECK(q.try_put(2));
    {
      auto first = co_await q.get_leased();
      auto second = co_await q.get_leased();
    }
    CHECK(q.size() == 2);
    CHECK_FALSE(q.full());
    CHECK(q.try_put(3));
    CHECK(q.try_put(4));
    CHECK(q.full());
    CHECK_FALSE(q.try_put(5));
    for (int i = 1; i <= 4; ++i) CHECK(q.try_get() == i);
  });
}

TEST_CASE("A25: a long chain of queues in messages is taken apart without a stack for each link") {
  family m(1 << 30);
  const auto before = blocks_in_use();
  const auto head = [&] {
    auto inner = detail::queue_core::create(family_memory::get(), 1, 8);
    for (int i = 0; i < 100'000; ++i) {
      auto outer = detail::queue_core::create(family_memory::get(), 1, 8);
      detail::outgoing_message message;
      message.fill(family_memory::get(), 8, [&](std::span<std::byte>) {
        detail::travelling_objects::note(inner);
        return std::size_t{8};
      });
      if (outer->put(message) != detail::put_outcome::done) throw std::runtime_error("put");
      inner = std::move(outer);
    }
    return inner;
  };
  SECTION("by its last handle") { head().reset(); }
  SECTION("by the clean-up after its owner was killed") {
    stopped_child owner([&](auto stay) {
      const auto first = head();
      stay();
    });
    owner.process().kill();
    CHECK(owner.process().join() == -SIGKILL);
  }
  CHECK(blocks_in_use() == before);
}
