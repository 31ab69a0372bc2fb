// Pipes and connections: what their operations promise, within one process and between forks.
// (Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.)
#include "brood/channel/pipe.hpp"

#include <sched.h>

#include <array>
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace brood;
using namespace std::chrono_literals;
using test::in_loop;
using test::memory;
using test::throws;

namespace {

bytes bytes_of(std::string_view text) {
  const auto all = std::as_bytes(std::span(text));
  return {all.begin(), all.end()};
}

/// What a process of the test has of an end that another is to hold alone.
template <class... Connection>
void give_up(const Connection&... ends) {
  (ends.close(), ...);
}

}  // namespace

TEST_CASE("constructed and never used") {
  memory m;
  const auto [a, b] = brood::pipe<int>();
  const auto [receiver, sender] = one_way_pipe<std::string>();
  CHECK_FALSE(a.is_closed());
  CHECK(a == a);
  CHECK_FALSE(a == b);
  const connection<int> none;
  CHECK(none.is_closed());
  CHECK_THROWS_AS(none.try_send(1), closed);
  CHECK_THROWS_AS(none.try_recv(), closed);
  none.close();
  CHECK_THROWS_AS(brood::pipe<int>(0), std::invalid_argument);
}

TEST_CASE("test_connection: values both ways, each way its own type") {
  memory m;
  in_loop([]() -> task<> {
    const auto [client, server] = brood::pipe<std::string, std::vector<int>>();
    co_await client.send("three");
    const std::string request = co_await server.recv();
    CHECK(request == "three");
    const std::vector<int> numbers{1, 2, 3};  // GCC 12 cannot have the braces in the call
    co_await server.send(numbers);
    const std::vector<int> reply = co_await client.recv();
    CHECK(reply == numbers);
    const auto nothing = client.try_recv();
    CHECK_FALSE(nothing.has_value());
    const bool sent = client.try_send("again");
    CHECK(sent);
    const auto again = co_await server.next();
    CHECK(again == "again");
  });
}

TEST_CASE("test_sendbytes: raw messages of every size, empty ones too, never merged or split") {
  memory m;
  in_loop([]() -> task<> {
    const auto [a, b] = brood::pipe<bytes>();
    std::size_t number = 0;
    const std::vector<std::size_t> sizes{0, 1, 0, 247, 248, 249, 70'000, 0, 16 << 20, 20 << 20};
    for (const std::size_t size : sizes) co_await a.send_bytes(bytes(size, std::byte(++number)));
    number = 0;
    for (const std::size_t size : sizes) {
      const bytes got = co_await b.recv_bytes();
      CHECK(got == bytes(size, std::byte(++number)));
    }
    const bool more = co_await b.poll();
    CHECK_FALSE(more);
  });
}

TEST_CASE("test_sendbytes: offset and size are checked") {
  memory m;
  in_loop([]() -> task<> {
    const auto [receiver, sender] = one_way_pipe<bytes>();
    const bytes letters = bytes_of("abcdefghijklmnopqrstuvwxyz");
    co_await sender.send_bytes(letters, 5);
    bytes got = co_await receiver.recv_bytes();
    CHECK(got == bytes_of("fghijklmnopqrstuvwxyz"));
    co_await sender.send_bytes(letters, 7, 8);
    got = co_await receiver.recv_bytes();
    CHECK(got == bytes_of("hijklmno"));
    co_await sender.send_bytes(letters, 26);
    got = co_await receiver.recv_bytes();
    CHECK(got.empty());
    co_await sender.send_bytes(letters, 26, 0);
    got = co_await receiver.recv_bytes();
    CHECK(got.empty());
    CHECK_THROWS_AS((void)sender.send_bytes(letters, 27), std::out_of_range);
    CHECK_THROWS_AS((void)sender.send_bytes(letters, 22, 5), std::out_of_range);
    CHECK_THROWS_AS((void)sender.send_bytes(letters, 0, 27), std::out_of_range);
    CHECK_THROWS_AS((void)receiver.recv_bytes_into({}, 1), std::out_of_range);
  });
}

TEST_CASE("test_connection: into a buffer, and the whole message when it is too short") {
  memory m;
  in_loop([]() -> task<> {
    const auto [receiver, sender] = one_way_pipe<bytes>();
    const bytes message = bytes_of("hello");
    bytes buffer(10, std::byte('.'));
    co_await sender.send_bytes(message);
    std::size_t size = co_await receiver.recv_bytes_into(buffer);
    CHECK(size == 5);
    CHECK(buffer == bytes_of("hello....."));
    co_await sender.send_bytes(message);
    size = co_await receiver.recv_bytes_into(buffer, 3);
    CHECK(size == 5);
    CHECK(buffer == bytes_of("helhello.."));
    co_await sender.send_bytes(message);
    bytes whole;
    try {
      co_await receiver.recv_bytes_into(buffer, 6);
    } catch (const buffer_too_short& e) {
      whole = e.message();
    }
    CHECK(whole == message);
    CHECK(buffer == bytes_of("helhello.."));
    co_await sender.send_bytes(message);
    whole.clear();
    try {
      co_await receiver.recv_bytes(4);
    } catch (const buffer_too_short& e) {
      whole = e.message();
    }
    CHECK(whole == message);
    co_await sender.send_bytes(message);
    const bytes fits = co_await receiver.recv_bytes(5);
    CHECK(fits == message);
  });
}

TEST_CASE("what was sent before the other side went is received, then closed") {
  memory m;
  in_loop([]() -> task<> {
    auto [a, b] = brood::pipe<int>();
    for (int i = 0; i < 3; ++i) co_await a.send(i);
    SECTION("closed") {
      a.close();
      a.close();
      CHECK(a.is_closed());
      CHECK_THROWS_AS(a.try_send(1), closed);
      CHECK_THROWS_AS(a.try_recv(), closed);
    }
    SECTION("dropped") { a = connection<int>(); }
    CHECK_THROWS_AS(b.try_send(1), closed);
    const bool refused = co_await throws<closed>(b.send(1));
    CHECK(refused);
    for (int i = 0; i < 3; ++i) {
      const int got = co_await b.recv();
      CHECK(got == i);
    }
    const bool readable = co_await b.poll();
    CHECK(readable);  // to say `closed`
    const bool ended = co_await throws<closed>(b.recv());
    CHECK(ended);
    const auto nothing = co_await b.next();
    CHECK_FALSE(nothing.has_value());
    CHECK_THROWS_AS(b.try_recv(), closed);
    const bool raw_ended = co_await throws<closed>(b.recv_bytes());
    CHECK(raw_ended);
  });
}

TEST_CASE("who waits is told when the other side goes, or its own") {
  memory m;
  in_loop([]() -> task<> {
    for (const bool own : {false, true}) {
      auto [a, b] = brood::pipe<int>(1);
      int ended = 0;
      const auto receive = [&]() -> task<> { ended += co_await throws<closed>(a.recv()); };
      const auto send = [&]() -> task<> { ended += co_await throws<closed>(a.send(2)); };
      const auto body = [&](nursery& n) -> task<> {
        co_await a.send(1);  // now it is full
        n.start(receive());
        n.start(receive());
        n.start(send());
        co_await yield();
        co_await yield();
        if (own) {
          a.close();
        } else {
          b = connection<int>();
        }
      };
      co_await with_nursery(body);
      CHECK(ended == 3);
    }
  });
}

TEST_CASE("test_poll: at once, after its limit, and as soon as something is there") {
  memory m;
  in_loop([]() -> task<> {
    const auto [a, b] = brood::pipe<int>();
    bool there = co_await a.poll();
    CHECK_FALSE(there);
    there = co_await a.poll(-1s);  // test_neg_timeout
    CHECK_FALSE(there);
    auto begin = brood::clock::now();
    there = co_await a.poll(20ms);
    CHECK_FALSE(there);
    CHECK(brood::clock::now() - begin >= 20ms);
    const auto send = [](connection<int> from) -> task<> {
      co_await yield();
      co_await from.send(7);
    };
    const auto body = [&](nursery& n) -> task<> {
      n.start(send(b));
      there = co_await a.poll(1h);
      CHECK(there);
      there = co_await a.poll(std::chrono::hours::max());
      CHECK(there);
    };
    co_await with_nursery(body);
    there = co_await a.poll();
    CHECK(there);
    const int got = co_await a.recv();  // polling took nothing
    CHECK(got == 7);
    a.close();
    const bool refused = co_await throws<closed>(a.poll());
    CHECK(refused);
  });
}

TEST_CASE("a pipe holds so many messages; then senders wait, and a cancelled one has sent nothing") {
  memory m;
  in_loop([]() -> task<> {
    const auto [receiver, sender] = one_way_pipe<std::string>(2);
    co_await sender.send("a");
    co_await sender.send(std::string(1000, 'b'));
    const bool sent = sender.try_send("c");
    CHECK_FALSE(sent);
    const bool late = co_await throws<timed_out>(with_timeout(5ms, sender.send(std::string(1000, 'd'))));
    CHECK(late);
    std::size_t length = 0;
    const auto body = [&](nursery& n) -> task<> {
      n.start(sender.send("e"));
      co_await yield();
      for (int i = 0; i < 3; ++i) length += (co_await receiver.recv()).size();
    };
    co_await with_nursery(body);
    CHECK(length == 1002);
    const auto nothing = receiver.try_recv();
    CHECK_FALSE(nothing.has_value());
  });
}

TEST_CASE("when_any over connections that become readable together loses nothing") {
  memory m;
  in_loop([]() -> task<> {
    const auto [a, to_a] = one_way_pipe<int>();
    const auto [b, to_b] = one_way_pipe<int>();
    queue<int> q(10);
    std::array<int, 3> got{};
    const auto send_all = [&]() -> task<> {
      co_await yield();
      to_a.try_send(1);
      to_b.try_send(1);
      q.try_put(1);
    };
    const auto body = [&](nursery& n) -> task<> {
      for (int round = 0; round < 600; ++round) {
        n.start(send_all());
        for (int i = 0; i < 3; ++i) {
          const auto first = co_await when_any(a.recv(), b.recv(), q.get());
          ++got[first.index()];
        }
      }
    };
    co_await with_nursery(body);
    for (const int count : got) CHECK(count == 600);
  });
}

TEST_CASE("test_subclassing: an echo server process over a pipe, stopped by a sentinel") {
  memory m;
  const auto [ours, theirs] = brood::pipe<std::string>();
  test::child server([=, here = theirs, there = ours] {
    give_up(there);
    in_loop([=]() -> task<> {
      for (;;) {
        std::string text = co_await here.recv();
        if (text.empty()) break;
        co_await here.send(text + text);
      }
    });
  });
  in_loop([&, c = ours]() -> task<> {
    for (int i = 1; i < 500; ++i) {
      const std::string text(static_cast<std::size_t>(i * 7), 'x');
      co_await c.send(text);
      const std::string back = co_await c.recv();
      if (back != text + text) FAIL("another echo");
    }
    co_await c.send("");
  });
  CHECK(server.join() == 0);
}

TEST_CASE(
    "test_spawn_close: the parent gives the child's end up and sees the end of the stream when the child "
    "ends") {
  memory m;
  for (const bool killed : {false, true}) {
    const auto [receiver, sender] = one_way_pipe<int>();
    test::child child([=, to = sender, from = receiver] {
      give_up(from);
      in_loop([=]() -> task<> {
        for (int i = 0; i < 1000; ++i) co_await to.send(i);
        if (killed) ::kill(::getpid(), SIGKILL);
      });
    });
    // The child counts the ends for itself when it begins; its first message tells that it has.
    in_loop([&, from = receiver, to = sender]() -> task<> {
      int next = co_await from.recv();
      CHECK(next == 0);
      give_up(to);
      ++next;
      while (next < 1000) {
        const int got = co_await from.recv();
        if (got != next++) FAIL("out of order");
      }
    });
    CHECK(child.join() == (killed ? -SIGKILL : 0));
    in_loop([&, from = receiver]() -> task<> {
      const bool ended = co_await throws<closed>(from.recv());
      CHECK(ended);
    });
  }
}

TEST_CASE("the end of the stream wakes who sleeps in another process") {
  memory m;
  const auto [ours, theirs] = brood::pipe<int>();
  queue<int> result(1);
  test::child child([=, here = theirs, there = ours] {
    give_up(there);
    in_loop([=]() -> task<> {
      co_await here.send(1);
      const auto nothing = co_await here.next();
      co_await result.put(nothing.has_value() ? 0 : 42);
    });
  });
  in_loop([&, c = ours]() -> task<> {
    co_await c.recv();
    c.close();
    const int got = co_await result.get();
    CHECK(got == 42);
  });
  CHECK(child.join() == 0);
}

TEST_CASE("TestWait: four children's pipes at once, each to its end") {
  memory m;
  constexpr int children = 4;
  constexpr int each = 300;
  std::vector<receiver<std::pair<int, int>>> receivers;
  std::vector<sender<std::pair<int, int>>> senders;
  std::vector<test::child> processes;
  for (int i = 0; i < children; ++i) {
    const auto [r, s] = one_way_pipe<std::pair<int, int>>(8);
    receivers.push_back(r);
    senders.push_back(s);
  }
  queue<int> begun(children);
  for (int i = 0; i < children; ++i) {
    processes.emplace_back([=] {
      for (int j = 0; j < children; ++j) {
        give_up(receivers[static_cast<std::size_t>(j)]);
        if (j != i) give_up(senders[static_cast<std::size_t>(j)]);
      }
      in_loop([=]() -> task<> {
        co_await begun.put(i);
        for (int n = 0; n < each; ++n) {
          const std::pair<int, int> item(i, n);
          co_await senders[static_cast<std::size_t>(i)].send(item);
        }
        if (i == 1) ::kill(::getpid(), SIGKILL);
      });
    });
  }
  std::map<int, int> next;
  in_loop([&]() -> task<> {
    for (int i = 0; i < children; ++i) co_await begun.get();
    for (const auto& s : senders) give_up(s);
    auto open = receivers;
    while (!open.empty()) {
      std::vector<decltype(open[0].next())> waits;
      for (const auto& r : open) waits.push_back(r.next());
      const auto first = co_await when_any(std::move(waits));
      if (first.value.has_value()) {
        const auto [child, number] = *first.value;
        if (number != next[child]++) FAIL("lost or out of order");
        if (number == each - 1)
          CHECK(processes[static_cast<std::size_t>(child)].join() == (child == 1 ? -SIGKILL : 0));
      } else {
        open.erase(open.begin() + static_cast<std::ptrdiff_t>(first.index));
      }
    }
  });
  for (int i = 0; i < children; ++i) CHECK(next[i] == each);
}

TEST_CASE("test_pickling: ends travel inside messages, one-way ones too") {
  memory m;
  const auto [ours, theirs] = brood::pipe<receiver<std::string>, sender<std::string>>();
  test::child child([=, here = theirs, there = ours] {
    give_up(there);
    in_loop([=]() -> task<> {
      const auto from = co_await here.recv();
      const std::string text = co_await from.recv();
      auto [answers, to] = one_way_pipe<std::string>();
      co_await here.send(to);
      to = sender<std::string>();  // the message on its way, then the parent, hold it
      const std::string answer = co_await answers.recv();
      if (answer != text + "!") throw error("another answer");
      if ((co_await answers.next()).has_value()) throw error("no end");
    });
  });
  in_loop([&, c = ours]() -> task<> {
    auto [from, to] = one_way_pipe<std::string>();
    co_await c.send(from);
    from = receiver<std::string>();
    co_await to.send("hello");
    const auto answer_to = co_await c.recv();
    co_await answer_to.send("hello!");
  });
  CHECK(child.join() == 0);
}

TEST_CASE("an end whose last handle lies in a message that nobody takes is gone with it") {
  memory m;
  in_loop([]() -> task<> {
    auto [from, to] = one_way_pipe<int>();
    {
      queue<receiver<int>> box(2);
      co_await box.put(from);
      from = receiver<int>();
      const bool sent = to.try_send(1);  // in the box it counts
      CHECK(sent);
    }
    CHECK_THROWS_AS(to.try_send(1), closed);
  });
}

TEST_CASE("test_access: an end in hostile bytes, or of another direction, is a decode_error") {
  memory m;
  const auto [a, b] = brood::pipe<int>();
  const auto [r, s] = one_way_pipe<int>();
  const bytes good = encode(a);
  CHECK(decode<connection<int>>(good) == a);
  CHECK_THROWS_AS(decode<connection<int>>(encode(r)), decode_error);
  CHECK_THROWS_AS(decode<sender<int>>(encode(r)), decode_error);
  CHECK_THROWS_AS(decode<receiver<int>>(encode(s)), decode_error);
  CHECK_THROWS_AS(decode<connection<int>>(encode(queue<int>(3))), decode_error);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes bad = good;
      bad[i] ^= std::byte(1 << bit);
      CHECK_THROWS_AS(decode<connection<int>>(bad), decode_error);
    }
  }
  a.close();
  CHECK_THROWS_AS(encode(a), closed);
  CHECK_THROWS_AS(decode<connection<int>>(good), decode_error);
}

TEST_CASE("an end that was given up here and comes back works again") {
  memory m;
  queue<connection<int>> box(1);
  const auto [a, b] = brood::pipe<int>();
  CHECK(box.try_put(b));
  b.close();
  CHECK(a.try_send(5));
  const auto back = box.try_get();
  REQUIRE(back.has_value());
  CHECK(b.is_closed());
  CHECK(back->try_recv() == 5);
}

TEST_CASE("N3: a sender killed in the middle of large messages costs its own pipe only") {
  memory m;
  const auto [ours, theirs] = one_way_pipe<bytes>(4);
  const auto [other_in, other_out] = one_way_pipe<int>();
  test::child child([=, to = theirs, from = ours, out = other_out] {
    give_up(from, out);
    in_loop([=]() -> task<> {
      const bytes large(std::size_t{16} << 20, std::byte(1));
      for (;;) co_await to.send(large);
    });
  });
  in_loop([&, from = ours, to = theirs, in = other_in, out = other_out]() -> task<> {
    for (int i = 0; i < 3; ++i) {
      const bytes got = co_await from.recv();
      CHECK(got.size() == std::size_t{16} << 20);
    }
    give_up(to);
    child.kill();
    CHECK(child.join() == -SIGKILL);
    while (const auto rest = co_await from.next()) CHECK(rest->size() == std::size_t{16} << 20);
    co_await out.send(1);
    const int still = co_await in.recv();
    CHECK(still == 1);
  });
}
