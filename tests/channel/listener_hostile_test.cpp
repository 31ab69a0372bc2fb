// listener and connect with strangers and enemies: slow, gone, wrong, too many; lengths and bytes that lie.
// (OtherTest, TestInvalidHandle, test_issue14725)
#include "listening.hpp"
#include "scale.hpp"

TEST_CASE("clients that speak something else, too much or half of it are dropped") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      const listener l(where, key);
      const std::string right_size("\x66\0\0\0", 4);
      for (const std::string& words :
           {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\xff\xff\xff\xff"),
            std::string("\x01\x04\0\0", 4), std::string(100'000, '\0'), std::string("\0\0\0\0", 4),
            right_size + "brood\x02" + std::string(96, 'x'),
            right_size + "brood\x01" + std::string(96, 'x')}) {
        brood::unique_fd client = raw_client(l.address());
        try {
          co_await say(client, words);
        } catch (const std::exception&) {  // it may not even listen to all of it
        }
        const std::string heard = co_await read_to_end(std::move(client));
        CHECK(heard.size() <= 4 + 38 + 4 + 1);
      }
      co_await exchange_with_a_good_client(l);
    }
  });
}

TEST_CASE("test_issue14725: a client that is gone before it is accepted") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      const listener l(where, key);
      for (int i = 0; i < 20; ++i) raw_client(l.address());  // gone before its handshake
      {
        brood::unique_fd client = raw_client(l.address());
        co_await say(client, std::string("\x66\0\0\0brood\x01", 10));
      }  // in the middle of it
      auto gone = co_await connect_text(l);
      gone.close();  // after it
      auto c = co_await accept_text(l);
      {
        const auto got = co_await c.next();
        CHECK_FALSE(got.has_value());
      }
      co_await exchange_with_a_good_client(l);
    }
  });
}

TEST_CASE("hundreds of slow clients do not keep a good one from getting through, and are dropped") {
  const folder f;
  run_clean([&f]() -> task<> {
    listener::options settings;
    settings.patience = 1s;
    for (const address& where : every_kind(f)) {
      const listener l(where, key, settings);
      std::vector<brood::unique_fd> slow;
      const int count = as_many_as_allowed(300);
      for (int i = 0; i < count; ++i) {
        slow.push_back(raw_client(l.address()));
        if (i % 3 == 0) co_await say(slow.back(), std::string("\x66\0\0", 3));
        if (i % 3 == 1) co_await say(slow.back(), std::string("\x66\0\0\0brood\x01half of it", 20));
      }
      co_await exchange_with_a_good_client(l);
      for (auto& client : slow) co_await read_to_end(std::move(client));
      co_await exchange_with_a_good_client(l);
    }
  });
}

TEST_CASE("good clients by the hundred all get through") {
  run_clean([]() -> task<> {
    const listener l(address(), key);
    const int count = as_many_as_allowed(300);
    const auto clients = [&l, count](brood::nursery& n) -> task<> {
      for (int i = 0; i < count; ++i) {
        n.start([](const listener& to) -> task<> {
          auto c = co_await connect_text(to);
          {
            const auto got = co_await c.recv();
            CHECK(got == "welcome");
          }
        }(l));
      }
      for (int i = 0; i < count; ++i) {
        auto c = co_await accept_text(l);
        const std::string welcome = "welcome";
        co_await c.send(welcome);
      }
    };
    co_await brood::with_nursery(clients);
  });
}

TEST_CASE("a client is authenticated while nobody accepts, and what it sent waits") {
  run_clean([]() -> task<> {
    const listener l(address(), key);
    auto early = co_await connect_text(l);
    const std::string word = "early";
    co_await early.send(word);
    auto c = co_await accept_text(l);
    {
      const auto got = co_await c.recv();
      CHECK(got == word);
    }
  });
}

TEST_CASE("a listener that says nothing, the wrong thing, or hangs up") {
  run_clean([]() -> task<> {
    const auto there = brood::detail::endpoint_of(abstract_name());
    const brood::unique_fd socket = brood::sys::stream_socket(there);
    brood::sys::listen_at(socket.get(), there, abstract_name());
    // Says nothing: the connection stays in the queue.
    bool late = false;
    try {
      co_await connect<int, int>(abstract_name(), key).deadline(50ms);
    } catch (const brood::timed_out&) {
      late = true;
    }
    CHECK(late);
    // Says the wrong thing to everybody, or nothing but goodbye.
    for (const std::string& words :
         {std::string("220 mail.example.org\r\n"), std::string("\xff\xff\xff\xff"), std::string()}) {
      const auto answer = [&socket, &words]() -> task<> {
        for (;;) {
          brood::unique_fd client = brood::sys::accept_client(socket.get());
          try {
            if (client) co_await say(client, words);
          } catch (const brood::closed&) {  // the one that gave up before
          }
          co_await brood::sleep_for(1ms);
        }
      };
      std::exception_ptr failure;
      const auto attempt = [&failure]() -> task<> {
        failure = co_await connect_failure(abstract_name(), key);
      };
      co_await brood::when_any(attempt(), answer());
      if (words.empty()) {
        CHECK_THROWS_AS(std::rethrow_exception(failure), brood::closed);
      } else {
        CHECK_THROWS_AS(std::rethrow_exception(failure), brood::authentication_error);
      }
    }
  });
}

TEST_CASE("a peer that is killed costs its connection only; a message that came in part is no message") {
  run_clean([]() -> task<> {
    const listener l(address(), key);
    auto program = co_await brood::command(peer_program(), "connect", l.address().text())
                       .stdin_(brood::piped)
                       .stdout_(brood::piped)
                       .spawn();
    co_await program.stdin_().write(std::string(key) + "\n");
    auto c = co_await accept_text(l);
    program.kill();
    co_await program.join();
    const auto nothing = co_await c.next();
    CHECK_FALSE(nothing.has_value());

    brood::unique_fd raw = co_await authenticated_raw_client(l);
    auto partly = co_await accept_text(l);
    co_await say(raw, frame(encoded("whole")) + frame(encoded("in part")).substr(0, 12));
    raw.reset();
    const std::string whole = co_await partly.recv();
    CHECK(whole == "whole");
    const auto rest = co_await partly.next();
    CHECK_FALSE(rest.has_value());
    co_await exchange_with_a_good_client(l);
  });
}

TEST_CASE("a hostile length is a decode_error, or costs no more than what has come") {
  run_clean([]() -> task<> {
    const listener l(address(), key);
    for (const char highest : {'\x7f', '\xff'}) {
      brood::unique_fd raw = co_await authenticated_raw_client(l);
      auto c = co_await accept_text(l);
      co_await say(raw, std::string(7, '\xff') + highest + "words");
      bool refused = false;
      try {
        co_await c.recv();
      } catch (const brood::decode_error&) {
        refused = true;
      }
      CHECK(refused);
    }
    brood::unique_fd raw = co_await authenticated_raw_client(l);
    auto c = co_await accept_text(l);
    co_await say(raw, std::string("\0\0\0\x40\0\0\0\0", 8) + "words");  // 1 GiB, the default limit
    raw.reset();
    const auto nothing = co_await c.next();
    CHECK_FALSE(nothing.has_value());
  });
}

TEST_CASE("messages beyond the limit: an error where they are sent, a decode_error where they arrive") {
  run_clean([]() -> task<> {
    listener::options settings;
    settings.max_message = 1000;
    const listener l(address(), key, settings);
    const two_ends ends = co_await both_ends(l);
    const std::string fits(900, 'x');
    const std::string too_long(1001, 'x');
    co_await ends.accepted.send(fits);
    {
      const auto got = co_await ends.connected.recv();
      CHECK(got == fits);
    }
    CHECK_THROWS_AS(ends.accepted.try_send(too_long), brood::error);
    co_await ends.connected.send(too_long);
    bool refused = false;
    try {
      co_await ends.accepted.recv();
    } catch (const brood::decode_error&) {
      refused = true;
    }
    CHECK(refused);
    // It was the connection's end, here and there, and not an error for ever.
    const auto nothing_more = co_await ends.accepted.next();
    CHECK_FALSE(nothing_more.has_value());
    const auto nothing_there = co_await ends.connected.next();
    CHECK_FALSE(nothing_there.has_value());
    auto connecting = connect<std::string, std::string>(l.address(), key).max_message(10);
    auto limited = co_await std::move(connecting);
    CHECK_THROWS_AS(limited.try_send(fits), brood::error);
    co_await accept_and_drop(l);
  });
}

TEST_CASE("bytes that are no message of the type are a decode_error, and the next message is read as ever") {
  run_clean([]() -> task<> {
    const listener l(address(), key);
    const two_ends ends = co_await both_ends(l);
    const brood::bytes nonsense(9, std::byte{0xff});
    const std::string word = "word";
    co_await ends.connected.send_bytes(nonsense);
    co_await ends.connected.send(word);
    bool refused = false;
    try {
      co_await ends.accepted.recv();
    } catch (const brood::decode_error&) {
      refused = true;
    }
    CHECK(refused);
    {
      const auto got = co_await ends.accepted.recv();
      CHECK(got == word);
    }
  });
}
