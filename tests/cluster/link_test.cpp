// The link's state machine, against an engine that says and does whatever it should not.
#include "cluster/redis_link.hpp"

#include "brood/cluster/error.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "catch.hpp"
#include "fake_engine.hpp"

using namespace std::chrono_literals;
using brood::task;
using brood::cluster::detail::answer;
using brood::cluster::detail::answer_reader;
using brood::cluster::detail::redis_link;
using brood::cluster::detail::words;
using brood::test::fake_engine;

namespace {

/// Asks three times at once; gives the answers as one text.
std::string ask_three(fake_engine::script script, int* connections = nullptr,
                      std::chrono::milliseconds patience = 5s) {
  brood::runtime loop;
  fake_engine server(loop, std::move(script));
  redis_link link(loop, "unix:" + server.socket(), 50ms, [](redis_link& self) -> task<> {
    const answer hello = co_await self.greet(words(1, "HELLO"));
    if (hello.what == answer::kind::failure) throw brood::error(hello.text);
  });
  std::string said;
  loop.run_until_complete([&]() -> task<> {
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(link.drive());
      co_await brood::with_nursery([&](brood::nursery& asking) -> task<> {
        for (int i = 0; i < 3; ++i) {
          asking.start([](redis_link& to, std::string& into, int number, auto limit) -> task<> {
            const answer got =
                co_await to.call(words(1, "ASK" + std::to_string(number)), brood::clock::now() + limit);
            into += got.text + " ";
          }(link, said, i, patience));
        }
        co_return;
      });
      n.cancel();
    });
  }());
  if (connections != nullptr) *connections = server.connections();
  return said;
}

std::string text(const std::string& of) { return "$" + std::to_string(of.size()) + "\r\n" + of + "\r\n"; }
bool is_hello(const std::string& request) { return request.find("HELLO") != std::string::npos; }
std::string echo(const std::string& request) { return text(request.substr(request.size() - 6, 4)); }

}  // namespace

TEST_CASE("an engine that answers is asked once") {
  int connections = 0;
  CHECK(ask_three([](const std::string& r) { return fake_engine::reply{echo(r)}; }, &connections) ==
        "ASK0 ASK1 ASK2 ");
  CHECK(connections == 1);
}

TEST_CASE("a connection that is cut at any byte of any answer is made anew, and all are answered") {
  for (int request = 0; request < 4; ++request) {
    const std::size_t longest = request == 0 ? 5 : 10;
    for (std::size_t cut = 0; cut <= longest; ++cut) {
      int served = 0, connections = 0;
      const auto said = ask_three(
          [&](const std::string& r) {
            fake_engine::reply whole{is_hello(r) ? std::string("+OK\r\n") : echo(r)};
            if (served++ == request) {
              whole.bytes.resize(std::min(cut, whole.bytes.size()));
              whole.cut = true;
            }
            return whole;
          },
          &connections);
      CHECK(said == "ASK0 ASK1 ASK2 ");
      if (request < 3) CHECK(connections == 2);  // the last answer may be whole
    }
  }
}

TEST_CASE("what the engine says while it cannot serve is waited out") {
  for (const std::string word :
       {"-LOADING x", "-READONLY x", "-MASTERDOWN x", "-UNBLOCKED x", "-NOAUTH x", "-BUSY x", "-TRYAGAIN x",
        "-CLUSTERDOWN x", "-MISCONF x", "-ERR Function not found"}) {
    for (const bool in_greeting : {true, false}) {
      int left = 2, connections = 0;
      const auto said = ask_three(
          [&](const std::string& r) {
            if (is_hello(r) == in_greeting && left-- > 0) return fake_engine::reply{word + "\r\n"};
            return fake_engine::reply{is_hello(r) ? std::string("+OK\r\n") : echo(r)};
          },
          &connections);
      CHECK(said == "ASK0 ASK1 ASK2 ");
      CHECK(connections >= 2);  // those of one turn may fail with one connection
    }
  }
}

TEST_CASE("what the engine refuses is the caller's") {
  const auto said = ask_three([](const std::string& r) {
    return fake_engine::reply{is_hello(r) ? std::string("+OK\r\n") : std::string("-OOM no memory\r\n")};
  });
  CHECK(said == "OOM no memory OOM no memory OOM no memory ");
}

TEST_CASE("an engine that falls silent is given up after the deadline, half an answer or none") {
  for (const std::string& part : std::vector<std::string>{"", "$4\r\nAS"}) {
    int served = 0, connections = 0;
    const auto said = ask_three(
        [&](const std::string& r) {
          if (is_hello(r)) return fake_engine::reply{"+OK\r\n"};
          if (served++ < 3) return fake_engine::reply{served == 1 ? part : std::string()};
          return fake_engine::reply{echo(r)};
        },
        &connections);
    CHECK(said == "ASK0 ASK1 ASK2 ");
    CHECK(connections == 2);
  }
}

TEST_CASE("what is no answer at all breaks the connection") {
  for (const std::string& wrong :
       std::vector<std::string>{"hello\r\n", ":x\r\n", "*-7\r\n", "$99999999999999999999\r\n",
                                "+one\r\n+two\r\n+three\r\n+four\r\n+five\r\n"}) {
    int left = 1;
    const auto said = ask_three([&](const std::string& r) {
      if (is_hello(r)) return fake_engine::reply{"+OK\r\n"};
      if (left-- > 0) return fake_engine::reply{wrong};
      return fake_engine::reply{echo(r)};
    });
    if (wrong[0] != '+') CHECK(said == "ASK0 ASK1 ASK2 ");
  }
}

TEST_CASE("an engine that stays away is unavailable after the patience") {
  bool unavailable = false;
  try {
    ask_three([](const std::string&) { return fake_engine::reply{"", true}; }, nullptr, 100ms);
  } catch (const brood::cluster::engine_unavailable& e) {
    unavailable = true;
    CHECK_THAT(e.what(), contains_text("closed the connection"));
  }
  CHECK(unavailable);
}

TEST_CASE("answers are read whole however they are cut up") {
  const std::string bytes = "*3\r\n:7\r\n$3\r\nabc\r\n*2\r\n$-1\r\n-ERR no\r\n+OK\r\n";
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    answer_reader reader;
    std::vector<answer> got;
    for (const std::string& part : std::vector<std::string>{bytes.substr(0, cut), bytes.substr(cut)}) {
      reader.feed({part.data(), part.size()});
      while (auto next = reader.next()) got.push_back(std::move(*next));
    }
    REQUIRE(got.size() == 2);
    CHECK(got[0].at(0).number() == 7);
    CHECK(got[0].at(1).string() == "abc");
    CHECK(got[0].at(2).at(0).is_nothing());
    CHECK(got[0].at(2).at(1).is_failure("ERR"));
    CHECK_THROWS_AS(got[0].at(3), brood::cluster::detail::malformed_answer);
    CHECK_THROWS_AS(got[0].at(1).number(), brood::cluster::detail::malformed_answer);
    CHECK(got[1].string() == "OK");
  }
}
