// listener and connect: over files, abstract names and TCP; with good, wrong, slow, gone and hostile others.
// Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.
// (_TestListener, _TestListenerClient, _TestPoll, TestIgnoreEINTR, OtherTest, TestInvalidHandle)
#include "brood/channel/listener.hpp"

#include <sys/stat.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "brood/process/current.hpp"
#include "brood/runtime/stream.hpp"
#include "catch.hpp"
#include "channel/framing.hpp"
#include "channel/handshake.hpp"
#include "channel/socket_address.hpp"
#include "run_clean.hpp"
#include "scale.hpp"
#include "system/error.hpp"

using namespace std::chrono_literals;
using brood::address;
using brood::authkey;
using brood::connect;
using brood::listener;
using brood::task;

using text_connection = brood::connection<std::string, std::string>;

namespace {

const char* const key = "a key of this test";

/// A folder for socket files, which must be empty again at the end.
struct folder {
  folder() {
    std::string name = std::filesystem::temp_directory_path() / "listener_test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) brood::sys::throw_errno("mkdtemp");
    path = name;
  }
  ~folder() {
    CHECK(std::filesystem::is_empty(path));
    std::filesystem::remove_all(path);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  address at(const std::string& name) const { return "unix:" + (path / name).string(); }
  std::filesystem::path path;
};

std::string abstract_name() { return "unix:@brood-listener-test-" + std::to_string(getpid()); }

/// One address of each kind.
std::vector<address> every_kind(const folder& f) {
  return {f.at("socket"), address(abstract_name()), address("tcp:127.0.0.1:0"), address("tcp:localhost:0"),
          address()};
}

task<text_connection> accept_text(const listener& l) {
  auto c = co_await l.accept<std::string, std::string>();
  co_return c;
}

task<text_connection> connect_text(const listener& l) {
  auto c = co_await connect<std::string, std::string>(l.address(), key);
  co_return c;
}

struct two_ends {
  text_connection accepted;
  text_connection connected;
};

task<two_ends> both_ends(const listener& l) {
  auto accepting = accept_text(l);
  auto connecting = connect_text(l);
  auto [a, b] = co_await brood::when_all(std::move(accepting), std::move(connecting));
  two_ends ends;
  ends.accepted = std::move(a);
  ends.connected = std::move(b);
  co_return ends;
}

/// A client that speaks no protocol of ours.
brood::unique_fd raw_client(const address& where) {
  const auto there = brood::detail::endpoint_of(where);
  brood::unique_fd socket = brood::sys::stream_socket(there);
  const int code = brood::sys::start_connect(socket.get(), there);
  if (code != 0 && code != EINPROGRESS) brood::sys::throw_errno("connect", code);
  return socket;
}

task<> say(brood::unique_fd& socket, std::string words) {
  brood::writer out(brood::unique_fd(dup(socket.get())));
  co_await out.write(std::move(words));
}

/// Waits for the listener to end the connection; what it said before.
task<std::string> read_to_end(brood::unique_fd socket) {
  brood::reader in(std::move(socket));
  std::string said;
  for (;;) {
    std::string part;
    try {
      part = co_await in.read();
    } catch (const std::system_error&) {  // it left words of ours unread
    }
    if (part.empty()) co_return said;
    said += part;
  }
}

task<> exchange(const two_ends& ends) {
  const std::string there = "there";
  const std::string back = "back";
  co_await ends.connected.send(there);
  {
    const auto got = co_await ends.accepted.recv();
    CHECK(got == there);
  }
  co_await ends.accepted.send(back);
  {
    const auto got = co_await ends.connected.recv();
    CHECK(got == back);
  }
}

task<> exchange_with_a_good_client(const listener& l) {
  const two_ends ends = co_await both_ends(l);
  co_await exchange(ends);
}

task<> accept_and_drop(const listener& l) { co_await l.accept<int, int>(); }

template <class Error>
task<bool> accept_throws(const listener& l) {
  try {
    co_await l.accept<int, int>();
  } catch (const Error&) {
    co_return true;
  }
  co_return false;
}

/// The exception that connecting ends with.
task<std::exception_ptr> connect_failure(address where, authkey with,
                                         std::chrono::milliseconds deadline = 5s) {
  try {
    co_await connect<int, int>(where, with).deadline(deadline);
  } catch (...) {
    co_return std::current_exception();
  }
  co_return nullptr;
}

int errno_of(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const std::system_error& e) {
    return e.code().value();
  } catch (...) {
  }
  return 0;
}

bool is_authentication_error(const std::exception_ptr& failure) {
  try {
    if (failure) std::rethrow_exception(failure);
  } catch (const brood::authentication_error&) {
    return true;
  } catch (...) {
  }
  return false;
}

int errno_of_listening(const address& where) {
  try {
    const listener l(where, key);
  } catch (const std::system_error& e) {
    return e.code().value();
  }
  return 0;
}

std::string text_of(std::span<const std::byte> all) {
  return std::string(reinterpret_cast<const char*>(all.data()), all.size());
}

/// A client that knows the key and then does as it likes.
task<brood::unique_fd> authenticated_raw_client(const listener& l) {
  const authkey shared(key);
  brood::detail::handshake talk(brood::detail::handshake::role::connect, shared.bytes(),
                                brood::detail::fresh_nonce());
  brood::unique_fd socket = raw_client(l.address());
  brood::reader in(brood::unique_fd(dup(socket.get())));
  while (talk.state() == brood::detail::handshake::status::waiting) {
    const std::string heard = co_await in.read(talk.missing());
    talk.feed(std::as_bytes(std::span(heard)));
    const auto answer = talk.take_output();
    co_await say(socket, text_of(answer));
  }
  CHECK(talk.state() == brood::detail::handshake::status::authenticated);
  co_return socket;
}

std::string encoded(const std::string& value) { return text_of(brood::encode(value)); }
std::string frame(const std::string& message) {
  return text_of(brood::detail::frame_header(message.size())) + message;
}

std::string peer_program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "channel" / "programs" /
         "socket_peer";
}

}  // namespace

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
      for (int i = 0; i < 300; ++i) {
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
    constexpr int count = 300;
    co_await brood::with_nursery([&l](brood::nursery& n) -> task<> {
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
    });
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

TEST_CASE("test_multiple_bind: an address in use is an error") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : every_kind(f)) {
      const listener l(where, key);
      CHECK(errno_of_listening(l.address()) == EADDRINUSE);
      co_await exchange_with_a_good_client(l);
    }
    const listener l(f.at("s"), key);
    CHECK(errno_of_listening(f.path.string().insert(0, "unix:") + "/none/s") == ENOENT);
  });
}

TEST_CASE("a file that is no socket is left alone") {
  const folder f;
  run_clean([&f]() -> task<> {
    std::ofstream(f.path / "file") << "text";
    CHECK(errno_of_listening(f.at("file")) == EADDRINUSE);
    CHECK(std::filesystem::file_size(f.path / "file") == 4);
    std::filesystem::remove(f.path / "file");
    co_return;
  });
}

TEST_CASE("the same address again and again, at once") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (address where : every_kind(f)) {
      for (int i = 0; i < 30; ++i) {
        const listener l(where, key);
        if (where.type() == address::kind::tcp) where = l.address();
        co_await exchange_with_a_good_client(l);
        l.close();
      }
    }
  });
}

TEST_CASE("the file of a listener that was killed is replaced by the next") {
  const folder f;
  run_clean([&f]() -> task<> {
    auto program = co_await brood::command(peer_program(), "listen", f.at("s").text())
                       .stdin_(brood::piped)
                       .stdout_(brood::piped)
                       .spawn();
    co_await program.stdin_().write(std::string(key) + "\n");
    co_await program.stdout_().read_line();
    CHECK(errno_of_listening(f.at("s")) == EADDRINUSE);
    program.kill();
    co_await program.join();
    CHECK(std::filesystem::exists(f.path / "s"));
    {
      const auto got = co_await connect_failure(f.at("s"), key, 50ms);
      CHECK(errno_of(got) == ECONNREFUSED);
    }
    const listener l(f.at("s"), key);
    co_await exchange_with_a_good_client(l);
  });
}

TEST_CASE("a socket file is for its user only, in a folder for its user only, and goes with the listener") {
  const folder f;
  run_clean([&f]() -> task<> {
    const mode_t mask = umask(0);
    struct stat found{};
    {
      const listener l(f.at("s"), key);
      CHECK(stat((f.path / "s").c_str(), &found) == 0);
      CHECK((found.st_mode & 0777) == 0600);
      const listener copy = l;
    }
    CHECK_FALSE(std::filesystem::exists(f.path / "s"));
    const listener chosen;
    const std::filesystem::path path(chosen.address().name());
    CHECK(stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0600);
    CHECK(stat(path.parent_path().c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0700);
    chosen.close();
    CHECK_FALSE(std::filesystem::exists(path.parent_path()));
    umask(mask);

    // Somebody else's file of the same name stays.
    const listener l(f.at("s"), key);
    std::filesystem::remove(f.path / "s");
    std::ofstream(f.path / "s") << "theirs";
    l.close();
    CHECK(std::filesystem::remove(f.path / "s"));
    co_return;
  });
}

TEST_CASE("a path that is nearly too long works") {
  const folder f;
  run_clean([&f]() -> task<> {
    std::string name = (f.path / "").string();
    name += std::string(107 - name.size(), 'x');
    const listener l("unix:" + name, key);
    co_await exchange_with_a_good_client(l);
  });
}

TEST_CASE("TCP from other machines must be asked for") {
  run_clean([]() -> task<> {
    CHECK_THROWS_AS(listener("tcp:0.0.0.0:0", key), std::invalid_argument);
    CHECK_THROWS_WITH(listener("tcp:0.0.0.0:0", key), contains_text("allow_remote"));
    listener::options settings;
    settings.allow_remote = true;
    const listener l("tcp:0.0.0.0:0", key, settings);
    const address here("tcp:127.0.0.1:" + std::to_string(l.address().port()));
    const auto connecting = [&here]() -> task<> { co_await connect<int, int>(here, key); };
    co_await brood::when_all(connecting(), accept_and_drop(l));
  });
}

TEST_CASE("nobody listens: the system's error, with the address") {
  const folder f;
  run_clean([&f]() -> task<> {
    {
      const auto got = co_await connect_failure(f.at("none"), key, 50ms);
      CHECK(errno_of(got) == ENOENT);
    }
    {
      const auto got = co_await connect_failure(abstract_name(), key, 50ms);
      CHECK(errno_of(got) == ECONNREFUSED);
    }
    address freed;
    {
      const listener l("tcp:127.0.0.1:0", key);
      freed = l.address();
    }
    {
      const auto got = co_await connect_failure(freed, key, 50ms);
      CHECK(errno_of(got) == ECONNREFUSED);
    }
    bool refused = false;
    try {
      co_await connect<int, int>(address(), key);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    CHECK(refused);
  });
}

TEST_CASE("connect waits for a listener that is still being started") {
  const folder f;
  run_clean([&f]() -> task<> {
    for (const address& where : {f.at("later"), address(abstract_name())}) {
      const auto listen_later = [&where]() -> task<> {
        co_await brood::sleep_for(
            20ms);  // the client has tried by then; if it has not, it finds the listener at once
        const listener l(where, key);
        co_await accept_and_drop(l);
      };
      const auto connecting = [&where]() -> task<> { co_await connect<int, int>(where, key); };
      co_await brood::when_all(connecting(), listen_later());
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
