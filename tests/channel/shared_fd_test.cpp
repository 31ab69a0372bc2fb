// Descriptors that travel, and the sockets of connections: to children, through queues, and from dying
// processes. Nothing is awaited inside CHECK: GCC 12 evaluates such an expression twice.
// (_TestConnection.test_fd_transfer, test_large_fd_transfer, test_missing_fd_transfer;
// _TestPicklingConnections)
#include "brood/channel/shared_fd.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "brood/channel/listener.hpp"
#include "brood/channel/pipe.hpp"
#include "brood/channel/queue.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/stream.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "catch.hpp"
#include "run_balanced.hpp"
#include "system/error.hpp"

using brood::shared_fd;
using brood::task;
using brood::unique_fd;
using text_connection = brood::connection<std::string>;

namespace {

struct two_ends {
  unique_fd read;
  unique_fd write;
};

two_ends make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) brood::sys::throw_errno("pipe2");
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

ino_t inode_of(int fd) {
  struct stat status{};
  if (fstat(fd, &status) != 0) brood::sys::throw_errno("fstat");
  return status.st_ino;
}

task<> write_text(unique_fd to, std::string text) {
  brood::writer out(std::move(to));
  co_await out.write(std::move(text));
}

task<std::string> read_to_end(unique_fd from) {
  brood::reader in(std::move(from));
  std::string all;
  for (std::string part = co_await in.read(); !part.empty(); part = co_await in.read()) all += part;
  co_return all;
}

template <class E>
task<bool> open_throws(shared_fd fd) {
  try {
    co_await fd.open();
  } catch (const E&) {
    co_return true;
  }
  co_return false;
}

// ---- what children do ----

task<> write_to(shared_fd to, std::string text) {
  auto opened = co_await to.open();
  co_await write_text(std::move(opened), std::move(text));
}

void write_plainly(shared_fd to, const std::string& text) {
  const unique_fd fd = brood::sync_wait(to.open());
  if (write(fd.get(), text.data(), text.size()) < 0) brood::sys::throw_errno("write");
}

task<> write_to_all(brood::queue<shared_fd> all) {
  while (auto fd = co_await all.next()) {
    auto opened = co_await fd->open();
    co_await write_text(std::move(opened), "x");
  }
}

task<> pass_on(shared_fd fd, std::string text) {
  auto grandchild = co_await brood::spawn<write_to>(fd, text);
  co_await grandchild.result();
}

task<> share_until_told(brood::queue<shared_fd> shared, brood::queue<int> told) {
  auto ends = make_pipe();
  co_await write_text(std::move(ends.write), "from the child");
  const shared_fd readable(std::move(ends.read));
  co_await shared.put(readable);
  co_await told.next();
}

/// Holds a handle without opening it.
task<> hold(shared_fd, brood::queue<int> ready) {
  co_await ready.put(1);
  for (;;) pause();
}

task<> echo(text_connection with) {
  while (auto text = co_await with.next()) co_await with.send(*text + "!");
}

task<> echo_each(brood::queue<text_connection> connections) {
  while (auto next = co_await connections.next()) {
    const text_connection with = std::move(*next);
    co_await echo(with);
  }
}

task<> pass_connection_on(text_connection with) {
  auto grandchild = co_await brood::spawn<echo>(with);
  with.close();
  co_await grandchild.result();
}

task<> connect_and_share(brood::address where, brood::queue<text_connection> to, brood::queue<int> told) {
  auto connected = co_await brood::connect<std::string, std::string>(where, brood::authkey("key"));
  co_await connected.send(std::string("from the child"));
  co_await to.put(connected);
  connected.close();
  co_await told.next();
}

/// Both ends of a connection over a socket.
task<std::pair<text_connection, text_connection>> connected_pair(brood::address where) {
  const brood::listener l(where, brood::authkey("key"));
  auto accepting = l.accept<std::string, std::string>();
  auto connecting = [&l]() -> task<text_connection> {
    auto made = co_await brood::connect<std::string, std::string>(l.address(), brood::authkey("key"));
    co_return made;
  };
  auto [accepted, connected] = co_await brood::when_all(std::move(accepting), connecting());
  std::pair<text_connection, text_connection> both(accepted, connected);
  co_return both;
}

}  // namespace

TEST_CASE("constructed and never used") {
  run_balanced([]() -> task<> {
    const shared_fd none;
    CHECK_FALSE(none);
    CHECK(none == shared_fd());
    const bool refused = co_await open_throws<brood::closed>(none);
    CHECK(refused);
    auto ends = make_pipe();
    const shared_fd kept(std::move(ends.read));
    CHECK(kept);
    CHECK(kept == shared_fd(kept));
    CHECK_FALSE(kept == shared_fd::copy_of(ends.write.get()));
  });
}

TEST_CASE(
    "test_fd_transfer: what children and grandchildren write arrives, and the end when the last handle is "
    "gone") {
  run_balanced([]() -> task<> {
    auto ends = make_pipe();
    {
      const shared_fd to(std::move(ends.write));
      auto first = co_await brood::spawn<write_to>(to, "a coroutine, ");
      co_await first.result();
      auto second = co_await brood::spawn<write_plainly>(to, "a plain function, ");
      co_await second.result();
      auto third = co_await brood::spawn<pass_on>(to, "a grandchild");
      co_await third.result();
    }
    const std::string all = co_await read_to_end(std::move(ends.read));
    CHECK(all == "a coroutine, a plain function, a grandchild");
  });
}

TEST_CASE("test_large_fd_transfer: numbers from 256 on") {
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  if (limit.rlim_max <= 310) return;  // there are none
  run_balanced([]() -> task<> {
    auto ends = make_pipe();
    unique_fd large(fcntl(ends.write.get(), F_DUPFD_CLOEXEC, 300));
    ends.write.reset();
    REQUIRE(large.get() >= 300);
    const ino_t file = inode_of(large.get());
    {
      const shared_fd to(std::move(large));
      const auto mine = co_await to.open();
      CHECK(inode_of(mine.get()) == file);
      auto child = co_await brood::spawn<write_to>(to, "large");
      co_await child.result();
    }
    const std::string all = co_await read_to_end(std::move(ends.read));
    CHECK(all == "large");
  });
}

TEST_CASE("test_missing_fd_transfer: what is no descriptor is an error at once") {
  run_balanced([]() -> task<> {
    CHECK_THROWS_AS(shared_fd(unique_fd()), std::system_error);
    CHECK_THROWS_AS(shared_fd::copy_of(-1), std::system_error);
    CHECK_THROWS_AS(shared_fd::copy_of(100'000), std::system_error);
    co_return;
  });
}

TEST_CASE("hundreds of descriptors through a queue; each is closed when its last handle is dropped") {
  run_balanced([]() -> task<> {
    constexpr int count = 300;
    auto ends = make_pipe();
    const long before = leftovers::now().descriptors;
    brood::queue<shared_fd> all(16);
    auto child = co_await brood::spawn<write_to_all>(all);
    for (int i = 0; i < count; ++i) {
      const auto copy = shared_fd::copy_of(ends.write.get());
      co_await all.put(copy);
    }
    all.close();
    co_await child.result();
    ends.write.reset();
    const std::string written =
        co_await read_to_end(std::move(ends.read));  // ends, so not one is open any more
    CHECK(written == std::string(count, 'x'));
    CHECK(leftovers::now().descriptors < before + 20);
  });
}

TEST_CASE("a message that nobody takes, and a holder that is killed, keep no file open") {
  run_balanced([]() -> task<> {
    auto ends = make_pipe();
    brood::queue<int> ready(1);
    {
      const shared_fd to(std::move(ends.write));
      brood::queue<shared_fd> never_read(4);
      co_await never_read.put(to);
      auto holder = co_await brood::spawn<hold>(to, ready);
      co_await ready.get();
      holder.kill();
      co_await holder.join();
    }
    const std::string all = co_await read_to_end(std::move(ends.read));
    CHECK(all.empty());
  });
}

TEST_CASE("a child's descriptor can be opened while the child lives, and is closed afterwards") {
  run_balanced([]() -> task<> {
    brood::queue<shared_fd> shared(1);
    brood::queue<int> told(1);
    auto child = co_await brood::spawn<share_until_told>(shared, told);
    const shared_fd from = co_await shared.get();
    auto opened = co_await from.open();
    const std::string text = co_await read_to_end(std::move(opened));
    CHECK(text == "from the child");
    told.close();
    co_await child.result();
    const bool gone = co_await open_throws<brood::closed>(from);
    CHECK(gone);
  });
}

TEST_CASE("hostile bytes and names of other objects are a decode_error") {
  run_balanced([]() -> task<> {
    const auto ends = make_pipe();
    const auto fd = shared_fd::copy_of(ends.read.get());
    const brood::queue<int> q(4);
    CHECK_THROWS_AS(brood::decode<shared_fd>(brood::encode(q)), brood::decode_error);
    CHECK_THROWS_AS(brood::decode<brood::queue<int>>(brood::encode(fd)), brood::decode_error);
    CHECK_THROWS_AS(brood::decode<text_connection>(brood::encode(fd)), brood::decode_error);
    auto forged = brood::encode(fd);
    forged[forged.size() - 1] ^= std::byte{1};
    CHECK_THROWS_AS(brood::decode<shared_fd>(forged), brood::decode_error);
    CHECK(brood::decode<shared_fd>(brood::encode(fd)) == fd);
    co_return;
  });
}

TEST_CASE("test_pickling: an accepted connection is served by a child, over files and TCP") {
  run_balanced([]() -> task<> {
    for (const char* where : {"", "tcp:127.0.0.1:0"}) {
      const auto there = *where == '\0' ? brood::address() : brood::address(where);
      auto [accepted, connected] = co_await connected_pair(there);
      auto child = co_await brood::spawn<echo>(accepted);
      accepted.close();
      for (const std::size_t size : std::initializer_list<std::size_t>{0, 1, 1000, 1'000'000}) {
        const std::string text(size, 'a');
        co_await connected.send(text);
        const std::string answer = co_await connected.recv();
        CHECK(answer == text + "!");
      }
      connected.close();
      co_await child.result();
    }
  });
}

TEST_CASE("what a connection has read and not given out travels with it") {
  run_balanced([]() -> task<> {
    for (const std::size_t size : std::initializer_list<std::size_t>{10, 300'000}) {
      auto [accepted, connected] = co_await connected_pair(brood::address());
      for (int i = 0; i < 3; ++i) co_await connected.send("message " + std::to_string(i));
      const std::string first = co_await accepted.recv();
      CHECK(first == "message 0");
      // Of a message that is not complete too.
      auto sending = connected.send(std::string(size, 'z'));
      co_await std::move(sending);
      const bool there = co_await accepted.poll(std::chrono::seconds(10));
      CHECK(there);
      auto child = co_await brood::spawn<echo>(accepted);
      accepted.close();
      for (int i = 1; i < 3; ++i) {
        const std::string answer = co_await connected.recv();
        CHECK(answer == "message " + std::to_string(i) + "!");
      }
      const std::string last = co_await connected.recv();
      CHECK(last == std::string(size, 'z') + "!");
      connected.close();
      co_await child.result();
    }
  });
}

TEST_CASE(
    "test_access: connections go through a queue, on to a grandchild, and back from a child that connected") {
  run_balanced([]() -> task<> {
    brood::queue<text_connection> connections(4);
    auto server = co_await brood::spawn<echo_each>(connections);
    for (int i = 0; i < 5; ++i) {
      auto [accepted, connected] = co_await connected_pair(brood::address());
      co_await connections.put(accepted);
      accepted.close();
      co_await connected.send(std::to_string(i));
      const std::string answer = co_await connected.recv();
      CHECK(answer == std::to_string(i) + "!");
    }
    connections.close();
    co_await server.result();

    auto [accepted, connected] = co_await connected_pair(brood::address());
    auto child = co_await brood::spawn<pass_connection_on>(accepted);
    accepted.close();
    co_await connected.send(std::string("far"));
    const std::string answer = co_await connected.recv();
    CHECK(answer == "far!");
    connected.close();
    co_await child.result();

    const brood::listener l(brood::address(), brood::authkey("key"));
    brood::queue<text_connection> back(1);
    brood::queue<int> told(1);
    auto client = co_await brood::spawn<connect_and_share>(l.address(), back, told);
    auto other = co_await l.accept<std::string, std::string>();
    const text_connection mine = co_await back.get();
    const std::string text = co_await other.recv();
    CHECK(text == "from the child");
    co_await mine.send(std::string("from here"));
    const std::string received = co_await other.recv();
    CHECK(received == "from here");
    told.close();
    co_await client.result();
    other.close();
    const auto end = co_await mine.next();
    CHECK_FALSE(end.has_value());
  });
}

TEST_CASE("a moved connection that nobody uses ends when its last handle is gone") {
  run_balanced([]() -> task<> {
    auto [accepted, connected] = co_await connected_pair(brood::address());
    {
      brood::queue<text_connection> never_read(1);
      co_await never_read.put(accepted);
      accepted.close();
    }
    const auto end = co_await connected.next();
    CHECK_FALSE(end.has_value());
  });
}

TEST_CASE("a moved connection whose process has ended before it gave the socket is closed") {
  run_balanced([]() -> task<> {
    const brood::listener l(brood::address(), brood::authkey("key"));
    brood::queue<text_connection> back(1);
    brood::queue<int> told(1);
    auto client = co_await brood::spawn<connect_and_share>(l.address(), back, told);
    auto other = co_await l.accept<std::string, std::string>();
    const text_connection mine = co_await back.get();
    client.kill();
    co_await client.join();
    const auto end = co_await mine.next();
    CHECK_FALSE(end.has_value());
    const std::string text = co_await other.recv();
    CHECK(text == "from the child");
    const auto no_more = co_await other.next();
    CHECK_FALSE(no_more.has_value());
  });
}
