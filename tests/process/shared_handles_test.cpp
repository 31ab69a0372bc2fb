// Shared objects as arguments and results of children, and what happens to them when a child dies.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "brood/channel/pipe.hpp"
#include "brood/channel/queue.hpp"
#include "brood/channel/shared_buffer.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_balanced.hpp"

namespace {

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

// ---- pipes ----

brood::task<> echo(brood::connection<std::string> with) {
  while (auto text = co_await with.next()) co_await with.send(*text + "!");
}

brood::task<> send_to(brood::sender<int> to, int first, int count) {
  for (int i = 0; i < count; ++i) co_await to.send(first + i);
}

brood::task<brood::receiver<std::string>> a_pipe_with_text() {
  auto [from, to] = brood::one_way_pipe<std::string>();
  co_await to.send(std::string("kept"));
  co_return from;
}

brood::task<brood::connection<std::string>> give_back(brood::connection<std::string> end) { co_return end; }

brood::task<> echo_each(brood::queue<brood::connection<std::string>> ends) {
  while (auto end = co_await ends.next()) {
    const auto with = std::move(*end);
    co_await echo(with);
  }
}

brood::task<> pass_end_on(brood::connection<std::string> with) {
  auto grandchild = co_await brood::spawn<echo>(with);
  with.close();
  co_await grandchild.result();
}

brood::task<> send_then_die(brood::sender<int> to) {
  for (int i = 0; i < 10; ++i) co_await to.send(i);
  kill(getpid(), SIGKILL);
}

// ---- buffers ----

constexpr std::size_t mebibyte = std::size_t{1} << 20;

void fill(brood::shared_buffer buffer, int value) {
  std::fill(buffer.begin(), buffer.end(), static_cast<std::byte>(value));
}

brood::shared_buffer a_filled_buffer(int value) {
  brood::shared_buffer made(mebibyte);
  fill(made, value);
  return made;
}

brood::task<> fill_each(brood::queue<brood::shared_buffer> todo, brood::sender<brood::shared_buffer> done) {
  while (auto buffer = co_await todo.next()) {
    fill(*buffer, static_cast<int>((*buffer)[0]) + 1);
    co_await done.send(*buffer);
  }
}

bool holds(const brood::shared_buffer& buffer, int value) {
  return buffer.size() == mebibyte && std::all_of(buffer.begin(), buffer.end(), [value](std::byte b) {
           return b == static_cast<std::byte>(value);
         });
}

// ---- what TestWait waits for ----

struct event {
  int from = 0;
  std::optional<int> number;  // none: the end of the stream
};

brood::task<event> next_of(brood::receiver<int> from, int index) {
  event e;
  e.from = index;
  e.number = co_await from.next();
  co_return e;
}

brood::task<event> end_of(brood::process<void> child, int index) {
  co_await child.join();
  event e;
  e.from = index;
  co_return e;
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

TEST_CASE("an end of a pipe that is a child's argument, given up at once by the parent") {
  run_balanced([]() -> brood::task<> {
    auto [here, there] = brood::pipe<std::string>();
    auto child = co_await brood::spawn<echo>(there);
    there.close();
    for (const char* text : {"a", "", "c"}) {
      co_await here.send(std::string(text));
      const std::string answer = co_await here.recv();
      CHECK(answer == std::string(text) + "!");
    }
    here.close();
    co_await child.result();
  });
}

TEST_CASE("one-way ends as arguments of several children; the stream ends with the last of them") {
  run_balanced([]() -> brood::task<> {
    auto [from, to] = brood::one_way_pipe<int>(4);
    std::vector<brood::process<void>> children;
    for (int i = 0; i < 4; ++i) children.push_back(co_await brood::spawn<send_to>(to, 100 * i, 100));
    to.close();
    std::vector<int> all;
    while (auto number = co_await from.next()) all.push_back(*number);
    std::sort(all.begin(), all.end());
    CHECK(all.size() == 400);
    for (int i = 0; i < static_cast<int>(all.size()); ++i) CHECK(all[static_cast<std::size_t>(i)] == i);
    for (const auto& child : children) co_await child.result();
  });
}

TEST_CASE("an end of a pipe that is a child's result outlives the child") {
  run_balanced([]() -> brood::task<> {
    auto child = co_await brood::spawn<a_pipe_with_text>();
    auto from = co_await child.result();
    const std::string text = co_await from.recv();
    CHECK(text == "kept");
    const auto end = co_await from.next();
    CHECK_FALSE(end.has_value());
  });
}

TEST_CASE("an end of a pipe there and back is the same end") {
  run_balanced([]() -> brood::task<> {
    auto [here, there] = brood::pipe<std::string>();
    auto child = co_await brood::spawn<give_back>(there);
    there.close();
    auto again = co_await child.result();
    co_await again.send(std::string("through the child"));
    const std::string text = co_await here.recv();
    CHECK(text == "through the child");
  });
}

TEST_CASE("ends of pipes go through a queue and on to a grandchild") {
  run_balanced([]() -> brood::task<> {
    brood::queue<brood::connection<std::string>> ends(4);
    auto server = co_await brood::spawn<echo_each>(ends);
    for (int i = 0; i < 5; ++i) {
      auto [here, there] = brood::pipe<std::string>();
      co_await ends.put(there);
      there.close();
      co_await here.send(std::to_string(i));
      const std::string answer = co_await here.recv();
      CHECK(answer == std::to_string(i) + "!");
    }
    ends.close();
    co_await server.result();

    auto [here, there] = brood::pipe<std::string>();
    auto child = co_await brood::spawn<pass_end_on>(there);
    there.close();
    co_await here.send(std::string("far"));
    const std::string answer = co_await here.recv();
    CHECK(answer == "far!");
    here.close();
    co_await child.result();
  });
}

TEST_CASE("shared buffers as arguments, results, and through a queue and a pipe") {
  run_balanced([]() -> brood::task<> {
    const brood::shared_buffer mine(mebibyte);
    auto filling = co_await brood::spawn<fill>(mine, 1);
    co_await filling.result();
    CHECK(holds(mine, 1));

    auto making = co_await brood::spawn<a_filled_buffer>(2);
    const auto made = co_await making.result();
    CHECK(holds(made, 2));

    brood::queue<brood::shared_buffer> todo(2);
    auto [done, to] = brood::one_way_pipe<brood::shared_buffer>(2);
    auto child = co_await brood::spawn<fill_each>(todo, to);
    to.close();
    for (int i = 10; i < 20; ++i) {
      brood::shared_buffer buffer(mebibyte);
      buffer[0] = static_cast<std::byte>(i);
      co_await todo.put(buffer);
      const auto back = co_await done.recv();
      CHECK(back == buffer);
      CHECK(holds(back, i + 1));
    }
    todo.close();
    co_await child.result();
  });
}

TEST_CASE("TestWait: pipes of children to their ends, beside the sentinels of the children themselves") {
  run_balanced([]() -> brood::task<> {
    constexpr int children = 4;
    std::vector<brood::receiver<int>> pipes;
    std::vector<brood::process<void>> processes;
    for (int i = 0; i < children; ++i) {
      auto [from, to] = brood::one_way_pipe<int>(2);
      if (i == 1) {
        processes.push_back(co_await brood::spawn<send_then_die>(to));
      } else {
        processes.push_back(co_await brood::spawn<send_to>(to, 0, 10));
      }
      to.close();
      pipes.push_back(from);
    }
    std::map<int, int> next;
    std::vector<int> open{0, 1, 2, 3};     // pipes
    std::vector<int> running{0, 1, 2, 3};  // children
    while (!open.empty() || !running.empty()) {
      std::vector<brood::task<event>> waits;
      for (const int i : open) waits.push_back(next_of(pipes[static_cast<std::size_t>(i)], i));
      for (const int i : running) waits.push_back(end_of(processes[static_cast<std::size_t>(i)], i));
      const auto first = co_await brood::when_any(std::move(waits));
      const int i = first.value.from;
      if (first.value.number.has_value()) {
        CHECK(*first.value.number == next[i]++);
      } else if (first.index < open.size()) {
        open.erase(std::find(open.begin(), open.end(), i));
      } else {
        running.erase(std::find(running.begin(), running.end(), i));
        const auto code = processes[static_cast<std::size_t>(i)].exitcode();
        CHECK(code == (i == 1 ? -SIGKILL : 0));
      }
    }
    for (int i = 0; i < children; ++i) CHECK(next[i] == 10);
  });
}

TEST_CASE("TestWait: a sentinel that comes first, and one that does not come in time") {
  run_balanced([]() -> brood::task<> {
    auto [from, to] = brood::one_way_pipe<int>();
    brood::queue<int> items(1);
    brood::queue<int> ready(1);
    co_await items.put(1);
    auto child = co_await brood::spawn<hold_a_lease_for_ever>(items, ready);
    co_await ready.get();
    std::vector<brood::task<event>> waits;
    waits.push_back(next_of(from, 0));
    waits.push_back(end_of(child, 1));
    bool late = false;
    try {
      co_await brood::with_timeout(std::chrono::milliseconds(20), brood::when_any(std::move(waits)));
    } catch (const brood::timed_out&) {
      late = true;
    }
    CHECK(late);
    CHECK(child.is_alive());
    child.kill();
    waits.clear();
    waits.push_back(next_of(from, 0));
    waits.push_back(end_of(child, 1));
    const auto first = co_await brood::when_any(std::move(waits));
    CHECK(first.index == 1);
    co_await to.send(5);  // the wait that lost has taken nothing
    const int number = co_await from.recv();
    CHECK(number == 5);
  });
}
