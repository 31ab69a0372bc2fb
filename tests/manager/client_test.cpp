// What a client does for its handles: refuses what would cost it the connection, finds named objects again, counts references.
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "served.hpp"

using brood::manager;
using brood::task;
namespace managed = brood::managed;

namespace {

/// Has a constructor from a long, one from a text and a number, and no other.
class tally {
 public:
  explicit tally(long start) : sum_(start) {}
  tally(const std::string& text, double factor)
      : sum_(static_cast<long>(static_cast<double>(text.size()) * factor)) {}
  long sum() const { return sum_; }

 private:
  long sum_;
};
const brood::registered_class<tally, long> from_number("client_test.tally");
const brood::registered_class<tally, std::string, double> from_text("client_test.tally");
const brood::registered_method<tally, &tally::sum> sum_name("client_test.tally.sum");

struct note {
  std::string text;
  int number = 0;
};

class notebook {
 public:
  explicit notebook(note first) : note_(std::move(first)) {}
  brood::generator<note> thrice() const {
    for (int i = 0; i < 3; ++i) co_yield note_;
  }
  note replace(note by) { return std::exchange(note_, std::move(by)); }

 private:
  note note_;
};

std::string own_address() { return "unix:@brood-client-test-" + std::to_string(getpid()); }

template <class Operation>
task<std::string> words_of(Operation operation) {
  try {
    co_await std::move(operation);
  } catch (const std::exception& e) {
    co_return e.what();
  }
  co_return "nothing";
}

}  // namespace

TEST_CASE("aggregates that own a text go through every kind of object") {
  served_by_a_child([](manager m) -> task<> {
    const note first{"the first of many texts that are too long to be small", 1};
    auto l = co_await m.list<note>(std::vector<note>(3, first));
    auto s = co_await m.set<note>();
    co_await s.add(first);
    auto d = co_await m.dict<int, note>();
    co_await d.set(1, first);
    auto q = co_await m.queue<note>();
    co_await q.put(first);
    auto v = co_await m.value<note>(first);
    auto b = co_await m.make<notebook>(first);
    int seen = 0;
    const auto read = [&](brood::generator<note> from) -> task<> {
      while (auto next = co_await from.next()) {
        CHECK(next->text == first.text);
        ++seen;
      }
    };
    co_await read(l.each(2));
    co_await read(s.each());
    co_await read(b.each<&notebook::thrice>());
    CHECK(seen == 7);
    auto pairs = d.each();
    const auto pair = co_await pairs.next();
    CHECK(pair->second.text == first.text);
    const note item = co_await q.get();
    CHECK(item.text == first.text);
    const note value = co_await v.get();
    CHECK(value.text == first.text);
    const note last = co_await b.call<&notebook::replace>(first);
    CHECK(last.text == first.text);
  });
}

TEST_CASE("a request that the manager would not take is refused here, and costs no connection") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().max_message(1 << 20);
    auto d = co_await m.dict<std::string, std::string>();
    co_await d.set("small", "kept");
    const std::string large(2 << 20, 'x');
    const std::string words = co_await words_of(d.set("large", large));
    CHECK_THAT(words, contains_text("2097"));
    CHECK_THAT(words, contains_text("1048576"));
    CHECK_THAT(words, contains_text("max_message"));
    const std::string error = co_await error_of(d.set("large", large));
    CHECK(error == "brood::call_refused");
    const std::string kept =
        co_await d.at("small");  // an object without a name would have died with the connection
    CHECK(kept == "kept");
    const std::string almost((1 << 20) - 100, 'x');
    co_await d.set("large", almost);
    co_await m.shutdown();
  });
}

TEST_CASE("a request that is too large is refused also if it waited for the connection") {
  run_clean([]() -> task<> {
    auto first = co_await manager::start().at(own_address()).max_message(1 << 20);
    auto d = co_await first.dict<int, std::string>("texts");
    ::kill(first.pid(), SIGKILL);
    const std::string lost = co_await error_of(d.size());
    CHECK(lost == "brood::disconnected");
    co_await first.shutdown();
    auto second = co_await manager::start().at(own_address()).max_message(1 << 20);
    const std::string large(2 << 20, 'x');
    auto [refused, size] = co_await brood::when_all(
        error_of(d.set(1, large)), [](auto of) -> task<std::size_t> { co_return co_await of.size(); }(d));
    CHECK(refused == "brood::call_refused");
    CHECK(size == 0);
    co_await second.shutdown();
  });
}

TEST_CASE("make finds a named constructor by arguments that convert to its own") {
  served_by_a_child([](manager m) -> task<> {
    auto a = co_await m.make<tally>(7);
    const long seven = co_await a.call<&tally::sum>();
    CHECK(seven == 7);
    auto b = co_await m.make<tally>("four", 2);
    const long eight = co_await b.call<&tally::sum>();
    CHECK(eight == 8);
    auto c = co_await m.make<tally>(9u);
    const long nine = co_await c.call<&tally::sum>();
    CHECK(nine == 9);
    std::string words;
    try {
      co_await m.make<tally>(true);  // is no number
    } catch (const brood::call_refused& e) {
      words = e.what();
    }
    CHECK_THAT(words, contains_text("none of the constructors"));
  });
}

TEST_CASE("named handles find their objects again when the manager has come back") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().at(own_address());
    auto d = co_await m.dict<std::string, int>("scores");
    auto q = co_await m.queue<int>(3, "numbers");
    auto l = co_await m.lock("the lock");
    auto nameless = co_await m.value<int>(1);
    co_await d.set("ann", 1);
    for (int round = 0; round < 3; ++round) {
      ::kill(m.pid(), SIGKILL);
      const std::string lost = co_await error_of(d.size());
      CHECK(lost == "brood::disconnected");
      co_await m.shutdown();
      m = co_await manager::start().at(own_address());
      auto other = co_await m.list<int>();  // numbers of objects are others now
      auto scores = co_await m.dict<std::string, int>("scores");
      co_await scores.set("bob", round);

      const int bob = co_await d.at("bob");
      CHECK(bob == round);
      co_await brood::with_nursery([&](brood::nursery& n) -> task<> {  // several calls while it is looked for
        for (int i = 0; i < 3; ++i) {
          n.start([](managed::queue<int> to, int item) -> task<> { co_await to.put(item); }(q, i));
        }
        co_return;
      });
      for (int i = 0; i < 3; ++i) {
        const int item = co_await q.get();
        CHECK(item == i);
      }
      const std::size_t capacity = co_await q.capacity();
      CHECK(capacity == 3);
      auto guard = co_await l.acquire();
      CHECK(guard.is_held());
      const std::string gone = co_await error_of(nameless.get());
      CHECK(gone == "brood::object_gone");
      const std::size_t alien = co_await other.size();
      CHECK(alien == 0);
    }
    co_await m.shutdown();
  });
}

TEST_CASE("a name that is another type's now is refused to the old handle, and to all who wait for it") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().at(own_address());
    auto d = co_await m.dict<std::string, int>("scores");
    co_await m.shutdown();
    m = co_await manager::start().at(own_address());
    auto l = co_await m.list<int>("scores");
    auto [one, two] = co_await brood::when_all(error_of(d.size()), error_of(d.keys()));
    CHECK(one == "brood::call_refused");
    CHECK(two == "brood::call_refused");
    const std::string again = co_await error_of(d.size());
    CHECK(again == "brood::call_refused");
    co_await m.shutdown();
  });
}

TEST_CASE("a call that is cancelled while its object is looked for takes nothing") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().at(own_address());
    auto q = co_await m.queue<int>(0, "numbers");
    co_await m.shutdown();
    m = co_await manager::start().at(own_address());
    auto newer = co_await m.queue<int>(0, "numbers");
    co_await newer.put(1);
    const auto first = co_await brood::when_any(q.get(), brood::yield());
    CHECK(first.index() == 1);
    const std::vector<int> items = co_await q.get_many(1);
    CHECK(items == std::vector<int>{1});
    co_await m.shutdown();
  });
}

TEST_CASE("a value that names an object of a manager that has gone is refused, and names no other's") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().at(own_address());
    auto lists = co_await m.dict<int, managed::list<int>>("lists");
    auto l = co_await m.list<int>();
    co_await m.shutdown();
    m = co_await manager::start().at(own_address());
    auto one = co_await m.list<int>();
    auto two = co_await m.list<int>();
    const std::string gone = co_await error_of(lists.set(1, l));
    CHECK(gone == "brood::object_gone");
    co_await lists.set(1, one);
    co_await m.shutdown();
  });
}

TEST_CASE("what a cancelled get takes back is counted once, and so released once") {
  served([](manager m) -> task<> {
    auto a = co_await m.queue<managed::list<note>>();
    auto b = co_await m.queue<managed::list<note>>();
    {
      auto l = co_await m.list<note>();
      const note written{"a note with a text that no small string holds", 1};
      co_await l.append(written);
      co_await a.put(l);
      co_await b.put(l);
    }
    // Both answers come in one batch: one of the two is taken back.
    std::optional got(co_await brood::when_any(a.get(), b.get()));
    auto& other = got->index() == 0 ? b : a;
    managed::list<note> last;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start(
          [](auto from, managed::list<note>& into) -> task<> { into = co_await from.get(); }(other, last));
      co_await brood::yield();
      got.reset();  // released behind a request whose answer names it too
    });
    const std::size_t size = co_await last.size();
    CHECK(size == 1);
  });
}

TEST_CASE("the answer to a cancelled call may be what ends the connection") {
  const std::string folder =
      std::filesystem::temp_directory_path() / ("client_test-" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const std::string key = "a key of this test";
  run_clean([&]() -> task<> {
    auto m = co_await manager::start().at("unix:" + folder + "/s").key(brood::authkey(key)).in_this_process();
    auto mine = co_await m.queue<int>();
    bool timed_out = false;
    {
      // Written differently, it is a connection of its own.
      auto other = co_await manager::connect("unix:" + folder + "/./s", brood::authkey(key));
      auto q = co_await other.queue<int>();
      try {
        co_await brood::with_timeout(std::chrono::milliseconds(1), q.get());
      } catch (const brood::timed_out&) {
        timed_out = true;
      }
    }
    CHECK(timed_out);
    for (int i = 0; i < 20; ++i) co_await mine.put(i);  // each a turn or more of the loop that serves both
    co_await m.shutdown();
  });
  CHECK(std::filesystem::remove(folder));
}
