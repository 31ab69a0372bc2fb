// The pool over hosts: every kind of call, and what becomes of it when workers, hosts, clients or the engine go.
#include <fcntl.h>

#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/process/run.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "hosts.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::task;
using brood::test::engine;
using brood::test::test_host;

namespace {

int square(int x) { return x * x; }
std::string join_words(std::string a, int b) { return a + std::to_string(b); }
int fail_at_three(int x) {
  if (x == 3) throw std::out_of_range("three");
  return x;
}
void nothing(int) {}
struct pair_of_words {
  std::string first;
  std::string second;
};
pair_of_words twice(const std::string& word) { return {word, word}; }
std::string echo(std::string text) { return text; }

/// Writes a line, so that the test sees how often it ran.
void note(const std::string& file, const std::string& line) {
  const brood::unique_fd fd(::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  const std::string whole = line + "\n";
  if (write(fd.get(), whole.data(), whole.size()) < 0) std::abort();
}
std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream in(file);
  std::vector<std::string> result;
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}
int die_first(std::string file, int x) {
  note(file, std::to_string(x));
  if (lines_of(file).size() == 1) ::raise(SIGKILL);
  return x;
}
int die_always(int) {
  ::raise(SIGKILL);
  return 0;
}
/// Kills its host the first times.
int kill_host(std::string file, int times) {
  note(file, "run");
  if (static_cast<int>(lines_of(file).size()) <= times) {
    ::kill(getppid(), SIGKILL);
    pause();
  }
  return times;
}
void wait_for_ever(std::string file) {
  note(file, "runs");
  for (;;) pause();
}

/// Ends when `file` has a line.
int after_a_line(std::string file) {
  while (lines_of(file).empty()) usleep(1000);
  return 1;
}

/// Until `file` has so many lines.
task<> until_lines(std::string file, std::size_t count) {
  while (lines_of(file).size() < count) co_await brood::sleep_for(5ms);
}

auto join(const engine& server) {
  return brood::cluster::connect(server.address(), brood::authkey(brood::test::key_text)).lease(1s);
}

template <class Body>
void with_hosts(engine& server, std::size_t count, Body body) {
  std::vector<test_host> hosts;
  for (std::size_t i = 0; i < count; ++i) hosts.emplace_back(server);
  {
    brood::runtime loop;
    loop.run_until_complete([&]() -> task<> {
      auto c = co_await join(server);
      co_await c.require_hosts(count, 30s);
      co_await body(c, brood::cluster::pool(c), hosts);
      co_await c.close();
    }());
  }
  for (auto& host : hosts) {
    host.send(SIGTERM);
    CHECK(host.wait() == 0);
  }
  {  // a session that was lost on the way is found out by whoever is there
    brood::runtime loop;
    loop.run_until_complete([&]() -> task<> {
      auto c = co_await join(server);
      while (server.ask("--raw zcard '{brood:brood}:live'") != "1" ||
             server.ask("--raw exists '{brood:brood}:gone'") != "0") {
        co_await brood::sleep_for(20ms);
      }
      co_await c.close();
    }());
  }
  CHECK(server.lasting_keys() == "");  // nothing is left of a cluster that all have left
}

using hosts_list = std::vector<test_host>;

}  // namespace

TEST_CASE("every kind of call runs on hosts") {
  engine server;
  with_hosts(server, 2, [&](brood::cluster::client c, brood::cluster::pool pool, hosts_list&) -> task<> {
    const int nine = co_await pool.apply<square>(3);
    CHECK(nine == 9);
    const auto words = co_await pool.apply<join_words>("a", 1);
    CHECK(words == "a1");
    std::vector<int> numbers(5000);
    std::iota(numbers.begin(), numbers.end(), 0);
    const auto squares = co_await pool.map<square>(numbers);
    REQUIRE(squares.size() == numbers.size());
    bool right = true;
    for (int i = 0; i < 5000; ++i) right = right && squares[static_cast<std::size_t>(i)] == i * i;
    CHECK(right);
    std::vector<std::tuple<std::string, int>> pairs{{"x", 1}, {"y", 2}};
    const auto joined = co_await pool.starmap<join_words>(pairs);
    CHECK(joined == std::vector<std::string>{"x1", "y2"});
    std::uint64_t told = 0;
    co_await pool.map<nothing>(numbers).chunk(100).progress(
        [&](std::uint64_t done, std::uint64_t) { told = done; });
    CHECK(told == 5000);

    auto stream = pool.imap<square>(numbers).window(100).results();
    int next = 0;
    while (auto value = co_await stream.next()) {
      CHECK(*value == next * next);
      ++next;
    }
    CHECK(next == 5000);
    auto source = [](int count) -> brood::generator<int> {
      for (int i = 0; i < count; ++i) co_yield i;
    };
    auto unordered = pool.imap_unordered<square>(source(300)).results();
    long sum = 0;
    while (auto value = co_await unordered.next()) sum += *value;
    CHECK(sum == 299L * 300 * 599 / 6);

    std::vector<brood::cluster::future<int>> futures;
    for (int i = 0; i < 1000; ++i) futures.push_back(pool.submit<square>(i));
    sum = 0;
    for (const auto& each : futures) sum += co_await each;
    CHECK(sum == 999L * 1000 * 1999 / 6);
    const auto hosts = co_await c.hosts();
    CHECK(hosts.size() == 2);
  });
}

TEST_CASE("a stream goes on after a next() that was cancelled, and gives aggregates") {
  engine server;
  const std::string file = server.socket() + ".line";
  with_hosts(server, 1, [&](brood::cluster::client, brood::cluster::pool pool, hosts_list&) -> task<> {
    const std::vector<std::string> files{file};
    auto stream = pool.imap<after_a_line>(files).results();
    bool timed_out = false;
    try {
      co_await brood::with_timeout(50ms, stream.next());
    } catch (const brood::timed_out&) {
      timed_out = true;
    }
    CHECK(timed_out);
    note(file, "now");
    const auto one = co_await stream.next();
    CHECK(one == 1);
    const std::vector<std::string> words{"a word that is too long to be kept in place"};
    auto pairs = pool.imap<twice>(words).results();
    const auto pair = co_await pairs.next();
    REQUIRE(pair.has_value());
    CHECK(pair->second == words[0]);
    bool too_late = false;
    try {
      co_await pool.apply<wait_for_ever>(file).deadline(0s);
    } catch (const brood::child_died&) {
      too_late = true;
    }
    CHECK(too_late);
  });
}

TEST_CASE("a generator is asked beside its stream, and may wait while a next() is cancelled") {
  engine server;
  with_hosts(server, 1, [&](brood::cluster::client, brood::cluster::pool pool, hosts_list&) -> task<> {
    int asked = 0;
    brood::detail::local_event more;
    auto source = [](int& count, brood::detail::local_event& go_on) -> brood::generator<int> {
      for (int i = 0; i < 20; ++i) {
        if (i == 10) co_await go_on.wait();
        ++count;
        co_yield i;
      }
    };
    auto stream = pool.imap<square>(source(asked, more)).window(16).results();
    const auto first = co_await stream.next();
    CHECK(first == 0);
    while (asked < 10) co_await brood::sleep_for(1ms);  // though nobody waits for a result
    for (int i = 1; i < 10; ++i) {
      const auto next = co_await stream.next();
      CHECK(next == i * i);
    }
    bool timed_out = false;
    try {
      co_await brood::with_timeout(20ms, stream.next());
    } catch (const brood::timed_out&) {
      timed_out = true;
    }
    CHECK(timed_out);
    more.set();
    for (int i = 10; i < 20; ++i) {
      const auto next = co_await stream.next();
      CHECK(next == i * i);
    }
    const auto end = co_await stream.next();
    CHECK(!end);
    brood::detail::local_event never;
    int count = 10;
    {
      auto waiting = source(count, never);
      auto dropped = pool.imap<square>(std::move(waiting)).results();
      const auto some = co_await dropped.next();
      CHECK(some == 0);
      while (count < 20) co_await brood::sleep_for(1ms);
    }  // the generator still waits
    co_await pool.apply<square>(1);
  });
}

TEST_CASE("an exception arrives as what it was, and ends a map") {
  engine server;
  with_hosts(server, 1, [&](brood::cluster::client, brood::cluster::pool pool, hosts_list&) -> task<> {
    std::string type, what;
    try {
      co_await pool.apply<fail_at_three>(3);
    } catch (const brood::remote_error& e) {
      type = e.type();
      what = e.what();
    }
    CHECK(type == "std::out_of_range");
    CHECK_THAT(what, contains_text("three"));
    std::vector<int> numbers{1, 2, 3, 4};
    bool failed = false;
    try {
      co_await pool.map<fail_at_three>(numbers);
    } catch (const brood::remote_error&) {
      failed = true;
    }
    CHECK(failed);
    const auto all = co_await pool.map<fail_at_three>(numbers).collect();
    CHECK(all[1].value() == 2);
    CHECK_THROWS_AS(all[2].value(), brood::remote_error);
    CHECK(all[3].value() == 4);
    auto stream = pool.imap_collect<fail_at_three>(numbers).results();
    int good = 0;
    while (auto each = co_await stream.next()) good += each->has_value() ? 1 : 0;
    CHECK(good == 3);
  });
}

TEST_CASE("payloads from nothing to 64 MiB travel") {
  engine server;
  const test_host host(server, {"--brood-lease", "20000"});  // without optimization the codec takes its time
  run_clean([&]() -> task<> {
    auto c = co_await join(server).lease(20s);
    const brood::cluster::pool pool(c);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{70'000}, std::size_t{64} << 20}) {
      const std::string sent(size, 'x');
      const auto back = co_await pool.apply<echo>(sent);
      CHECK((back == sent));
    }
    co_await c.close();
  });
}

TEST_CASE("a worker that dies costs its item a try") {
  engine server;
  const std::string file = server.socket() + ".runs";
  with_hosts(server, 1, [&](brood::cluster::client, brood::cluster::pool pool, hosts_list&) -> task<> {
    const int value = co_await pool.apply<die_first>(file, 7).retries(1);
    CHECK(value == 7);
    CHECK(lines_of(file).size() == 2);
    bool died = false;
    try {
      co_await pool.apply<die_always>(1).retries(2);
    } catch (const brood::child_died& e) {
      died = e.status().signal == SIGKILL;
    }
    CHECK(died);
    bool late = false;
    try {
      co_await pool.apply<wait_for_ever>(file).deadline(50ms);
    } catch (const brood::child_died& e) {
      late = e.status().deadline_passed;
    }
    CHECK(late);
  });
}

TEST_CASE("a task whose host is lost runs on another, as often as host_losses allow") {
  engine server;
  const std::string file = server.socket() + ".runs";
  std::vector<test_host> hosts;
  for (int i = 0; i < 3; ++i) hosts.emplace_back(server);
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server);
    co_await c.require_hosts(3, 30s);
    const brood::cluster::pool pool(c);
    const int value = co_await pool.apply<kill_host>(file, 1).host_losses(1);
    CHECK(value == 1);
    CHECK(lines_of(file).size() == 2);
    bool lost = false;
    try {
      co_await pool.apply<kill_host>(file, 100).host_losses(0);
    } catch (const brood::cluster::host_lost&) {
      lost = true;
    }
    CHECK(lost);
    CHECK(lines_of(file).size() == 3);
    co_await c.close();
  }());
}

TEST_CASE("cancelling ends what runs, by killing its worker") {
  engine server;
  const std::string file = server.socket() + ".runs";
  with_hosts(server, 1, [&](brood::cluster::client, brood::cluster::pool pool, hosts_list&) -> task<> {
    for (std::size_t round = 1; round <= 3; ++round) {
      co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
        n.start([](brood::cluster::pool in, std::string name) -> task<> {
          co_await in.apply<wait_for_ever>(name);
        }(pool, file));
        co_await until_lines(file, round);
        n.cancel();
      });
    }
    auto running = pool.submit<wait_for_ever>(file);
    co_await until_lines(file, 4);
    CHECK(running.cancel());
    CHECK(!running.cancel());
    const int four = co_await pool.apply<square>(2);  // there are workers left to do it
    CHECK(four == 4);
  });
}

TEST_CASE("a client that is killed takes what it asked for with it") {
  engine server;
  const std::string file = server.socket() + ".runs";
  with_hosts(server, 1, [&](brood::cluster::client c, brood::cluster::pool, hosts_list&) -> task<> {
    const pid_t other = fork();
    if (other == 0) {
      const std::string address = server.address().text();
      execl("/proc/self/exe", "client", "--client", address.c_str(), file.c_str(), nullptr);
      _exit(127);
    }
    co_await until_lines(file, 1);
    ::kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
    for (;;) {  // its task is cancelled when its session is over
      const auto hosts = co_await c.hosts();
      if (hosts.front().chunks == 0) break;
      co_await brood::sleep_for(10ms);
    }
  });
}

TEST_CASE("hosts of another key or build see no task, and require_hosts says which are there") {
  engine server;
  run_clean([&]() -> task<> {
    auto c = co_await join(server);
    std::string why;
    try {
      co_await c.require_hosts(1, 50ms);
    } catch (const brood::cluster::no_hosts& e) {
      why = e.what();
    }
    CHECK_THAT(why, contains_text("there are none"));
    test_host stranger(server, {}, "another key");
    CHECK(stranger.wait() == 1);
    co_await c.close();
  });
}

TEST_CASE("a task that no member has sent, or under another id, is refused") {
  engine server;
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server).lease(10s);  // a lost session would send them anew, as they should be
    const brood::cluster::pool pool(c);
    auto forged = pool.submit<square>(3);
    const auto queue_of = [&] { return server.ask("--raw keys '*q:t:*:e'"); };
    while (queue_of().empty()) co_await brood::sleep_for(5ms);
    const std::string id = server.ask("--raw hkeys '" + queue_of() + "'");
    auto replayed = pool.submit<square>(4);
    while (server.ask("--raw hlen '" + queue_of() + "'") != "2") co_await brood::sleep_for(5ms);
    // the bytes of the one under the id of the other
    server.ask(
        "eval \"local e = redis.call('hgetall', KEYS[1]); redis.call('hset', KEYS[1], e[1], e[4]); "
        "redis.call('hset', KEYS[1], e[3], 'forged')\" 1 '" +
        queue_of() + "'");
    const test_host host(server);
    int refused = 0;
    for (const auto& each : {forged, replayed}) {
      try {
        co_await each;
      } catch (const brood::error& e) {
        refused += std::string(e.what()).find("refused") != std::string::npos ? 1 : 0;
      }
    }
    CHECK(refused == 2);
    co_await c.close();
  }());
}

TEST_CASE("the engine is killed and restarted under a map: every result comes once") {
  const std::string keeps = GENERATE("always", "everysec", "nothing");
  engine server(keeps == "nothing"
                    ? std::vector<std::string>{"--appendonly", "no", "--save", ""}
                    : std::vector<std::string>{"--appendonly", "yes", "--appendfsync", keeps, "--save", ""});
  with_hosts(server, 2, [&](brood::cluster::client, brood::cluster::pool pool, hosts_list&) -> task<> {
    std::vector<int> numbers(3000);
    std::iota(numbers.begin(), numbers.end(), 0);
    int restarts = 0;
    const auto squares =
        co_await pool.map<square>(numbers).chunk(5).progress([&](std::uint64_t done, std::uint64_t) {
          if (done < 600u * static_cast<unsigned>(restarts + 1) || restarts == 3) return;
          ++restarts;
          server.kill();
          server.start();
        });
    CHECK(restarts == 3);
    bool right = squares.size() == numbers.size();
    for (int i = 0; i < 3000; ++i) right = right && squares[static_cast<std::size_t>(i)] == i * i;
    CHECK(right);
  });
}

TEST_CASE("idle hosts do not wake each other: a request a second each, at most") {
  engine server;
  const test_host one(server, {"--brood-lease", "10000"});
  const test_host two(server, {"--brood-lease", "10000"});
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server).lease(10s);
    co_await c.require_hosts(2, 30s);
    const brood::cluster::pool pool(c);
    for (int i = 0; i < 10; ++i) co_await pool.apply<square>(i);
    co_await brood::sleep_for(500ms);  // what follows the last result
    const long before = server.requests();
    const auto from = brood::clock::now();
    co_await brood::sleep_for(3s);
    const long asked = server.requests() - before;
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(brood::clock::now() - from).count();
    CHECK(asked <= 3 * seconds);
    co_await c.close();
  }());
}

TEST_CASE("a host that is told to end finishes what runs") {
  engine server;
  std::vector<test_host> hosts;
  hosts.emplace_back(server);
  brood::runtime loop;
  loop.run_until_complete([&]() -> task<> {
    auto c = co_await join(server);
    co_await c.require_hosts(1, 30s);
    const brood::cluster::pool pool(c);
    std::vector<brood::cluster::future<int>> futures;
    for (int i = 0; i < 200; ++i) futures.push_back(pool.submit<square>(i));
    const int first = co_await futures.front();
    CHECK(first == 0);
    hosts.front().send(SIGTERM);
    CHECK(hosts.front().wait() == 0);
    hosts.emplace_back(server);  // the rest is another's
    int sum = 0;
    for (const auto& each : futures) sum += co_await each;
    CHECK(sum == 199 * 200 * 399 / 6);
    co_await c.close();
  }());
  hosts.back().send(SIGTERM);
  hosts.back().wait();
}

TEST_CASE("a host that was stopped for longer than its lease is over, and begins anew") {
  engine server;
  with_hosts(server, 2,
             [&](brood::cluster::client c, brood::cluster::pool pool, hosts_list& hosts) -> task<> {
               std::vector<int> numbers(400);
               std::iota(numbers.begin(), numbers.end(), 0);
               hosts.front().send(SIGSTOP);
               const auto squares =
                   co_await pool.map<square>(numbers).chunk(10);  // what it has taken is the other's
               CHECK(squares[399] == 399 * 399);
               for (;;) {
                 const auto there = co_await c.hosts();
                 if (there.size() == 1) break;
                 co_await brood::sleep_for(20ms);
               }
               hosts.front().send(SIGCONT);
               co_await c.require_hosts(2, 30s);
               const int nine = co_await pool.apply<square>(3);
               CHECK(nine == 9);
             });
}

/// The client that is killed above.
int run_client(int argc, char** argv) {
  return brood::run(argc, argv, [&]() -> task<> {
    auto c = co_await brood::cluster::connect(argv[2], brood::authkey(brood::test::key_text)).lease(1s);
    const brood::cluster::pool pool(c);
    co_await pool.apply<wait_for_ever>(std::string(argv[3]));
  });
}
