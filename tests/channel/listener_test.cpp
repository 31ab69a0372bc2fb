// listener and connect: connections over files, abstract names and TCP, their ends, and what they carry.
// (_TestListener, _TestListenerClient, _TestPoll, TestIgnoreEINTR)
#include "listening.hpp"

TEST_CASE("constructed and never used") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      const listener l(where, key);
      CHECK_FALSE(l.is_closed());
      CHECK_FALSE(l.address().text().empty());
      CHECK(l.address().text().find(":0") == std::string::npos);
    }
    auto unused = connect<int, int>("tcp:127.0.0.1:1", key);
    (void)unused;
    co_return;
  });
}

TEST_CASE("test_listener_client: messages of every size, both ways, over every kind of address") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      INFO(where.text());
      const listener l(where, key);
      const two_ends ends = co_await both_ends(l);
      co_await exchange(ends);
      for (const std::size_t size : {0u, 1u, 503u, 504u, 505u, 70'000u, 16u << 20, 3u, 0u}) {
        const std::string big(size, 'b');
        const auto send = [&]() -> task<> { co_await ends.connected.send(big); };
        const auto receive = [&]() -> task<> {
          const std::string got = co_await ends.accepted.recv();
          CHECK((got == big));
        };
        co_await brood::when_all(send(), receive());
      }
      ends.connected.close();
      {
        const auto got = co_await ends.accepted.next();
        CHECK_FALSE(got.has_value());
      }
    }
  });
}

TEST_CASE("many messages keep their order and their bounds; raw bytes too") {
  run_clean([]() -> task<> {
    const listener l(address(), key);
    const two_ends ends = co_await both_ends(l);
    constexpr int count = 20'000;
    const auto send = [&]() -> task<> {
      for (int i = 0; i < count; ++i) {
        const std::string word = std::to_string(i);
        co_await ends.connected.send(word);
      }
      ends.connected.close();
    };
    const auto receive = [&]() -> task<> {
      for (int i = 0; i < count; ++i) {
        const std::string word = co_await ends.accepted.recv();
        REQUIRE(word == std::to_string(i));
      }
      {
        const auto got = co_await ends.accepted.next();
        CHECK_FALSE(got.has_value());
      }
    };
    co_await brood::when_all(send(), receive());

    const two_ends raw = co_await both_ends(l);
    const brood::bytes none;
    const brood::bytes some(10, std::byte{9});
    co_await raw.accepted.send_bytes(none);
    co_await raw.accepted.send_bytes(some);
    {
      const auto got = co_await raw.connected.recv_bytes();
      CHECK(got == none);
    }
    {
      const auto got = co_await raw.connected.recv_bytes();
      CHECK(got == some);
    }
  });
}

TEST_CASE("between unrelated processes, started either way round") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      INFO(where.text());
      const listener l(where, key);
      auto program = co_await brood::command(peer_program(), "connect", l.address().text())
                         .stdin_(brood::piped)
                         .stdout_(brood::piped)
                         .spawn();
      co_await program.stdin_().write(std::string(key) + "\n");
      auto c = co_await accept_text(l);
      const std::string big(sanitized ? 1'000'000 : 10'000'000, 'x');
      co_await c.send(big);
      const std::string echoed = co_await c.recv();
      CHECK((echoed == big));
      c.close();
      {
        const auto got = co_await program.join();
        CHECK(got.exitcode == 0);
      }
    }
    for (const address& where : every_kind(f)) {
      const std::string place = where.text().empty() ? f.at("s").text() : where.text();
      auto program = co_await brood::command(peer_program(), "listen", place)
                         .stdin_(brood::piped)
                         .stdout_(brood::piped)
                         .spawn();
      co_await program.stdin_().write(std::string(key) + "\n");
      const auto told = co_await program.stdout_().read_line();
      REQUIRE(told.has_value());
      auto c = co_await connect<std::string, std::string>(*told, key);
      const std::string word = "word";
      co_await c.send(word);
      {
        const auto got = co_await c.recv();
        CHECK(got == word);
      }
      c.close();
      {
        const auto got = co_await program.join();
        CHECK(got.exitcode == 0);
      }
    }
  });
}

TEST_CASE(
    "test_deliver_challenge_auth_failure: another key is an authentication_error, and disturbs nobody") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      const listener l(where, key);
      {
        const auto got = co_await connect_failure(l.address(), "another key");
        CHECK(is_authentication_error(got));
      }
      auto program = co_await brood::command(peer_program(), "connect", l.address().text())
                         .stdin_(brood::piped)
                         .stdout_(brood::piped)
                         .spawn();
      co_await program.stdin_().write("yet another\n");
      {
        const auto got = co_await program.join();
        CHECK(got.exitcode == 3);
      }
      co_await exchange_with_a_good_client(l);
    }
  });
}

TEST_CASE("the key of the family is the default") {
  run_clean([]() -> task<> {
    const listener l;
    auto connecting = [&]() -> task<> { co_await connect<int, int>(l.address()); };
    co_await brood::when_all(connecting(), accept_and_drop(l));
    {
      const auto got = co_await connect_failure(l.address(), key);
      CHECK(is_authentication_error(got));
    }
  });
}

TEST_CASE("closing: who waits in accept gets `closed`, connections go on") {
  run_clean([]() -> task<> {
    const listener l(address(), key);
    const two_ends ends = co_await both_ends(l);
    auto waiting = accept_throws<brood::closed>(l);
    const auto close = [&l]() -> task<> {
      co_await brood::yield();
      l.close();
      l.close();
    };
    auto [was_closed, nothing] = co_await brood::when_all(std::move(waiting), close());
    (void)nothing;
    CHECK(was_closed);
    CHECK(l.is_closed());
    {
      const auto got = co_await accept_throws<brood::closed>(l);
      CHECK(got);
    }
    co_await exchange(ends);
  });
}

TEST_CASE("cancelled operations lose nothing") {
  run_clean([]() -> task<> {
    const listener l(address(), key);
    for (int turns = 0; turns < 12; ++turns) {
      const auto stop = [turns]() -> task<> {
        for (int i = 0; i < turns; ++i) co_await brood::yield();
      };
      auto accepting = accept_and_drop(l);
      co_await brood::when_any(stop(), std::move(accepting));
      auto connecting = [&l]() -> task<> { co_await connect_text(l); };
      co_await brood::when_any(stop(), connecting());
    }
    // Some of those got through; each is gone.
    const two_ends first = co_await both_ends(l);
    two_ends ends = first;
    const std::string word = "word";
    co_await ends.connected.send(word);
    while (true) {
      auto got = co_await ends.accepted.next();
      if (got) {
        CHECK(*got == word);
        break;
      }
      ends.accepted = co_await accept_text(l);
    }
  });
}

TEST_CASE("a runtime that ends closes its listeners, also those whose handles outlive it") {
  const folder f;
  std::optional<listener> kept;
  std::optional<text_connection> connection;
  run_clean([&]() -> task<> {
    kept.emplace(f.at("s"), key);
    const two_ends ends = co_await both_ends(*kept);
    (void)raw_client(kept->address());
    co_return;
  });
  CHECK(kept->is_closed());
  CHECK(kept->address() == f.at("s"));
}

TEST_CASE("test_issue16955: poll sees data") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      const listener l(where, key);
      const two_ends ends = co_await both_ends(l);
      {
        const auto got = co_await ends.accepted.poll();
        CHECK_FALSE(got);
      }
      {
        const auto got = co_await ends.accepted.poll(1ms);
        CHECK_FALSE(got);
      }
      const std::string word = "word";
      co_await ends.connected.send(word);
      {
        const auto got = co_await ends.accepted.poll(10s);
        CHECK(got);
      }
      {
        const auto got = co_await ends.accepted.poll();
        CHECK(got);
      }
      {
        const auto got = co_await ends.accepted.recv();
        CHECK(got == word);
      }
      {
        const auto got = co_await ends.accepted.poll();
        CHECK_FALSE(got);
      }
      ends.connected.close();
      {
        const auto got = co_await ends.accepted.poll(10s);
        CHECK(got);
      }
      {
        const auto got = co_await ends.accepted.next();
        CHECK_FALSE(got.has_value());
      }
    }
  });
}

TEST_CASE("test_context: an end that goes out of scope closes the connection, and what it sent arrives") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      const listener l(where, key);
      text_connection accepted;
      const std::string big(8 << 20, 'b');  // more than the socket takes at once
      {
        const two_ends ends = co_await both_ends(l);
        co_await ends.connected.send(big);
        accepted = ends.accepted;
      }
      const std::string got = co_await accepted.recv();
      CHECK((got == big));
      {
        const auto end = co_await accepted.next();
        CHECK_FALSE(end.has_value());
      }
      bool refused = false;
      try {
        for (int i = 0; i < 1000; ++i) co_await accepted.send(big);
      } catch (const brood::closed&) {
        refused = true;
      }
      CHECK(refused);
    }
  });
}

TEST_CASE("handles to shared memory stay in the family") {
  run_clean([]() -> task<> {
    using queue = brood::queue<int>;
    const listener l(address(), key);
    auto accepting = l.accept<queue, queue>();
    auto connecting = [&l]() -> task<brood::connection<queue, queue>> {
      auto c = co_await connect<queue, queue>(l.address(), key);
      co_return c;
    };
    auto [accepted, connected] = co_await brood::when_all(std::move(accepting), connecting());
    const queue q(10);
    CHECK_THROWS_AS(connected.try_send(q), brood::error);
    const brood::bytes forged = brood::encode(q);  // the name of an object that does exist here
    co_await connected.send_bytes(forged);
    bool refused = false;
    try {
      co_await accepted.recv();
    } catch (const brood::decode_error&) {
      refused = true;
    }
    CHECK(refused);
    CHECK_FALSE(accepted.is_closed());
  });
}

TEST_CASE("TestIgnoreEINTR: signals do not break connect, accept, send and receive") {
  run_clean([]() -> task<> {
    struct sigaction before{};
    struct sigaction action{};
    action.sa_handler = [](int) {};  // without SA_RESTART
    sigaction(SIGALRM, &action, &before);
    itimerval often{{0, 500}, {0, 500}};
    setitimer(ITIMER_REAL, &often, nullptr);
    const std::string big(1 << 20, 'b');
    for (const std::string& where : {std::string("tcp:127.0.0.1:0"), abstract_name()}) {
      const listener l(where, key);
      for (int i = 0; i < 20; ++i) {
        const two_ends ends = co_await both_ends(l);
        const auto send = [&]() -> task<> { co_await ends.connected.send(big); };
        const auto receive = [&]() -> task<> {
          const std::string got = co_await ends.accepted.recv();
          CHECK((got == big));
        };
        co_await brood::when_all(send(), receive());
      }
    }
    often = {};
    setitimer(ITIMER_REAL, &often, nullptr);
    sigaction(SIGALRM, &before, nullptr);
  });
}
