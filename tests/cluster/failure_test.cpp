// What docs/cluster.md says of failures of the engine and of whole members, where a test of one part is not enough.
#include <netinet/in.h>
#include <sys/socket.h>

#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "brood/cluster/error.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/run.hpp"
#include "hosts.hpp"

using namespace std::chrono_literals;
using brood::task;
using brood::test::engine;
using brood::test::test_host;

namespace {

const std::vector<std::string> written{"--appendonly", "yes", "--appendfsync", "always", "--save", ""};

long square(int x) { return static_cast<long>(x) * x; }

auto join(const brood::address& where) {
  return brood::cluster::connect(where, brood::authkey(brood::test::key_text)).lease(1s);
}
auto join(const engine& server) { return join(server.address()); }

/// Squares of the numbers below `count`; `meanwhile` is called once, when a fifth of them is there.
template <class Act>
task<> map_and(brood::cluster::pool pool, int count, Act meanwhile) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  auto running = pool.map<square>(numbers);
  bool acted = false;
  const auto squares =
      co_await std::move(running).chunk(5).progress([&](std::uint64_t done, std::uint64_t total) {
        if (done < total / 5 || std::exchange(acted, true)) return;
        meanwhile();
      });
  CHECK(acted);
  bool right = squares.size() == numbers.size();
  for (int i = 0; right && i < count; ++i) right = squares[static_cast<std::size_t>(i)] == square(i);
  CHECK(right);
}

std::string free_port() {
  const brood::unique_fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof name;
  REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0);
  REQUIRE(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0);
  return std::to_string(ntohs(name.sin_port));
}

/// Waits until the lock is known to be lost.
template <class Guard>
task<> until_lost(const Guard& held) {
  while (!held.is_lost()) co_await brood::sleep_for(5ms);
}

/// As if the engine's clock had been set forward by so much: what is compared with it is set back.
void step_clock(const engine& server, std::chrono::milliseconds forward) {
  server.ask(
      "eval \"for _, e in ipairs(redis.call('zrange', KEYS[1], 0, -1)) do redis.call('zincrby', KEYS[1], " +
      std::to_string(-forward.count()) + ", e) end\" 1 '{brood:brood}:live'");
}

}  // namespace

TEST_CASE("the engine is away for longer than 0.8 of a lease: locks are lost, calls are asked again") {
  engine server(written);
  const test_host host(server);
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server);
    co_await c.require_hosts(1, 30s);
    auto held = co_await c.lock("l").acquire();
    CHECK(!held.is_lost());
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      brood::detail::local_event away;
      n.start(map_and(brood::cluster::pool(c), 1000, [&] {
        server.kill();
        away.set();
      }));
      co_await away.wait();
      co_await until_lost(held);
      server.start();
    });
    auto again = co_await c.lock("l").acquire();
    CHECK(again);
    co_await c.close();
  }());
}

TEST_CASE("an engine that stands still is connected to anew, and loses nothing") {
  engine server(written);
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server).lease(2s);  // 0.5 s for an answer, 1.6 s for a session
    auto q = c.queue<int>("q");
    co_await q.put(1);
    server.pause();
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(q.put(2));
      co_await brood::sleep_for(1s);  // the first connection is given up meanwhile
      server.go_on();
    });
    for (const int wanted : {1, 2}) {
      const int got = co_await q.get();
      CHECK(got == wanted);
    }
    const auto state = co_await q.state();  // put once, though it was sent twice
    CHECK(state.ready == 0);
    co_await c.close();
  }());
}

TEST_CASE("a failover to a replica: waited out while it is one, then gone on with") {
  const std::string port = free_port();
  engine master({"--port", port, "--appendonly", "no", "--save", ""});
  engine replica({"--replicaof", "127.0.0.1 " + port, "--appendonly", "no", "--save", ""});
  while (replica.ask("--raw info replication").find("master_link_status:up") == std::string::npos)
    usleep(10'000);
  const std::string address = master.socket() + ".leader";  // as a virtual address leads to who is the master
  std::filesystem::create_symlink(master.socket(), address);
  const test_host host(master, {"--brood-join", "unix:" + address});
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join("unix:" + address);
    co_await c.require_hosts(1, 30s);
    const brood::cluster::pool pool(c);
    co_await map_and(pool, 1000, [&] {
      master.kill();
      std::filesystem::remove(address);
      std::filesystem::create_symlink(replica.socket(), address);
      replica.ask("replicaof no one");
    });
    co_await map_and(pool, 100, [] {});
    co_await c.close();
  }());
}

TEST_CASE("an engine that becomes a replica is waited for until it is none") {
  engine server;
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server).lease(10s);
    auto q = c.queue<int>("q");
    co_await q.put(1);
    server.ask("replicaof 127.0.0.1 1");
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(q.put(2));
      while (server.ask("--raw info errorstats").find("READONLY") == std::string::npos) {
        co_await brood::sleep_for(5ms);
      }
      server.ask("replicaof no one");
    });
    for (const int wanted : {1, 2}) {
      const int got = co_await q.get();
      CHECK(got == wanted);
    }
    co_await c.close();
  }());
}

TEST_CASE("the engine's clock steps: forward all begin anew, backward nothing waits for it to come back") {
  const auto step = GENERATE(3600s, -3600s);
  engine server(written);
  std::vector<test_host> hosts;
  for (int i = 0; i < 2; ++i) hosts.emplace_back(server);
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server);
    co_await c.require_hosts(2, 30s);
    const brood::cluster::pool pool(c);
    co_await map_and(pool, 1000, [&] {
      hosts.front().send(SIGKILL);
      step_clock(server, step);
    });
    for (;;) {  // the one that was killed is found out, whatever the clock says
      const auto there = co_await c.hosts();
      if (there.size() == 1) break;
      co_await brood::sleep_for(10ms);
    }
    co_await map_and(pool, 100, [] {});
    co_await c.close();
  }());
}

TEST_CASE("a lock whose holder was killed is abandoned, and its next token is higher") {
  engine server;
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server);
    std::uint64_t before = 0;
    {
      auto first = co_await c.lock("l").acquire();
      before = first.token();
    }
    const pid_t other = fork();
    if (other == 0) {
      const std::string address = server.address().text();
      execl("/proc/self/exe", "client", "--client", address.c_str(), nullptr);
      _exit(127);
    }
    auto held = c.event("held");
    co_await held.wait();
    ::kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
    auto next = co_await c.lock("l").acquire();
    CHECK(next.abandoned());
    CHECK(next.token() > before + 1);
    next.release();
    auto last = co_await c.lock("l").acquire();
    CHECK(!last.abandoned());
    co_await held.clear();
    co_await c.close();
  }());
}

TEST_CASE("a worker's death that is told after its task is over leaves no count") {
  const engine server;
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server).lease(10s);
    const std::string epoch = server.ask("--raw zrange '{brood:brood}:live' 0 -1");
    const std::string functions = server.ask("--raw function list");
    const std::string library = functions.substr(functions.find("brood_"), 22);
    const std::string said = server.ask("--raw fcall " + library + "_died 1 '{brood:brood}:' " + epoch + " " +
                                        epoch + " 999 999 t:build 1.1 0");
    CHECK_THAT(said, contains_text("DEAD"));
    CHECK(server.ask("--raw keys '*:d:*'") == "");
    co_await c.close();
  }());
}

TEST_CASE("a host that has never reached its engine ends at SIGTERM") {
  const engine server;
  test_host host(server, {"--brood-join", "unix:/nonexistent/socket"});
  while (!host.heeds(SIGTERM)) usleep(1000);
  host.send(SIGTERM);
  CHECK(host.wait() == 0);
}

TEST_CASE("a host of another build sees no task, and is named by the error of require_hosts") {
  engine server;
  const char* other = std::getenv("BROOD_OTHER_BUILD");
  REQUIRE(other != nullptr);  // tests/cluster/meson.build sets it
  const test_host stranger(server, {}, brood::test::key_text, other);
  std::vector<test_host> hosts;
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server);
    for (;;) {
      const auto there = co_await c.hosts();
      if (!there.empty()) break;
      co_await brood::sleep_for(10ms);
    }
    std::string why;
    try {
      co_await c.require_hosts(1, 50ms);
    } catch (const brood::cluster::no_hosts& e) {
      why = e.what();
    }
    CHECK_THAT(why, contains_text("another one"));
    auto waiting = brood::cluster::pool(c).submit<square>(12);
    bool ran = true;
    try {
      co_await brood::with_timeout(300ms, [](auto call) -> task<long> { co_return co_await call; }(waiting));
    } catch (const brood::timed_out&) {
      ran = false;
    }
    CHECK(!ran);
    hosts.emplace_back(server);
    const long value = co_await waiting;
    CHECK(value == 144);
    co_await c.close();
  }());
}

/// The client that is killed above.
int run_client(int argc, char** argv) {
  return brood::run(argc, argv, [&]() -> task<> {
    auto c = co_await join(brood::address(argv[2]));
    auto held = co_await c.lock("l").acquire();
    co_await c.event("held").set();
    for (;;) co_await brood::sleep_for(1s);
  });
}
