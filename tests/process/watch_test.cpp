// Watching a family: its trace, its snapshot, its log.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "brood/brood.hpp"
#include "catch.hpp"
#include "helper_program.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;

namespace {

struct temporary_file {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / fmt::format("brood-watch-{}.json", getpid());
  ~temporary_file() { std::filesystem::remove(path); }
  std::string contents() const {
    std::ifstream in(path);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
};

int doubled(int x) { return 2 * x; }
void nap() { usleep(10'000'000); }
int sum_of(brood::queue<int> q) {
  return brood::sync_wait([](brood::queue<int> source) -> brood::task<int> {
    int sum = 0;
    while (auto x = co_await source.next()) sum += *x;
    co_return sum;
  }(q));
}
int grandparent(int x) {
  return brood::sync_wait([](int n) -> brood::task<int> {
    auto child = co_await brood::spawn<doubled>(n).name("grandchild");
    co_return co_await child.result();
  }(x));
}

int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

brood::task<> hold_once(brood::lock turns) { const auto guard = co_await turns.acquire(); }

/// Holds the lock, gives it to one that waits for it, and holds a permit meanwhile.
brood::task<> take_turns(brood::lock turns, brood::semaphore permits) {
  auto guard = co_await turns.acquire();
  const auto body = [&](brood::nursery& n) -> brood::task<> {
    n.start(hold_once(turns));
    while (brood::runtime::current().snapshot().waiters == 0) co_await brood::yield();
    const auto permit = co_await permits.acquire();
    auto moved = std::move(guard);
    moved.release();
  };
  co_await brood::with_nursery(body);
}

bool is_json(const std::filesystem::path& file) {
  return std::system(
             fmt::format("python3 -c 'import json; json.load(open(\"{}\"))'", file.string()).c_str()) == 0;
}

}  // namespace

TEST_CASE("a trace holds every child of the family, also those that were killed") {
  const temporary_file file;
  run_clean([&]() -> brood::task<> {
    brood::runtime::current().trace(file.path);
    for (int i = 0; i < 5; ++i) {
      auto child = co_await brood::spawn<doubled>(i).name(fmt::format("ends \"{}\"", i));
      co_await child.join();
    }
    auto killed = co_await brood::spawn<nap>().name("is killed");
    killed.kill();
    co_await killed.join();
    auto family = co_await brood::spawn<grandparent>(4).name("grandparent");
    const int eight = co_await family.result();
    CHECK(eight == 8);
    co_await brood::command("/bin/true").status();
  });
  const std::string trace = file.contents();
  INFO(trace);
  CHECK(is_json(file.path));
  CHECK(occurrences(trace, R"("process_name")") == 10);  // eight children, the grandchild, this process
  CHECK(occurrences(trace, R"("ph":"b")") == occurrences(trace, R"("ph":"e")"));
  CHECK(occurrences(trace, R"("cat":"spawn")") == 2 * 9);
  CHECK(occurrences(trace, R"x("end":"was killed by SIGKILL (9)")x") == 1);
  CHECK(occurrences(trace, R"("end":"exited with 0")") == 8);
  CHECK(occurrences(trace, R"("name":"function")") == 7);
}

TEST_CASE("a trace shows how long a child waited for a queue") {
  const temporary_file file;
  run_clean([&]() -> brood::task<> {
    brood::runtime::current().trace(file.path);
    brood::queue<int> q{4};
    auto consumer = co_await brood::spawn<sum_of>(q);
    while (q.waiting_consumers() == 0) co_await brood::sleep_for(1ms);
    co_await q.put(7);
    q.close();
    const int sum = co_await consumer.result();
    CHECK(sum == 7);
  });
  CHECK(is_json(file.path));
  CHECK(occurrences(file.contents(), R"("name":"queue get","cat":"wait")") >= 2);
}

TEST_CASE("a trace shows how long each lock was held, and by whom it was waited for") {
  const temporary_file file;
  run_clean([&]() -> brood::task<> {
    const brood::lock turns;
    const brood::semaphore permits{2};
    auto untraced = co_await turns.acquire();
    brood::runtime::current().trace(file.path);
    untraced.release();
    {
      const auto guard = co_await turns.acquire();
    }
    auto child = co_await brood::spawn<take_turns>(turns, permits);
    co_await child.join();
    const brood::rlock nested;
    const auto outer = co_await nested.acquire();
    const auto inner = co_await nested.acquire();
  });
  const std::string trace = file.contents();
  INFO(trace);
  CHECK(is_json(file.path));
  CHECK(occurrences(trace, R"("name":"lock","cat":"lock")") == 2 * 3);  // here once, in the child twice
  CHECK(occurrences(trace, R"("name":"semaphore","cat":"lock")") == 2);
  CHECK(occurrences(trace, R"("name":"rlock","cat":"lock")") == 2 * 2);
  CHECK(occurrences(trace, R"("name":"lock","cat":"wait")") == 2);
  const std::size_t number = trace.find(R"("args":{"object":)", trace.find(R"("name":"lock","cat":"lock")"));
  REQUIRE(number != std::string::npos);
  const std::string object = trace.substr(number, trace.find('}', number) - number);
  CHECK(occurrences(trace, object + "}") == 2 * 3);  // one lock, whoever holds it
}

TEST_CASE("a trace shows what each worker of a pool did and when it waited") {
  const temporary_file file;
  run_clean([&]() -> brood::task<> {
    brood::runtime::current().trace(file.path);
    auto pool = co_await brood::pool::open(2);
    const std::vector<int> items(10, 4);
    const auto all = co_await pool.map<doubled>(items).chunk(5);
    CHECK(all.size() == 10);
    constexpr auto negated = [](int x) { return -x; };
    const int less = co_await pool.apply<negated>(4);
    CHECK(less == -4);
    co_await pool.close();
  });
  const std::string trace = file.contents();
  INFO(trace);
  CHECK(is_json(file.path));
  CHECK(occurrences(trace, R"("cat":"task","pid")") == 3);
  CHECK(occurrences(trace, R"(doubled","cat":"task")") == 2);
  CHECK(occurrences(trace, R"("items":5)") == 2);
  CHECK(occurrences(trace, R"("items":1)") == 1);
  CHECK(occurrences(trace, R"("name":"pool task","cat":"wait")") >= 2);
}

TEST_CASE("a trace is written once at a time, and can be written again") {
  const temporary_file file;
  for (int round = 0; round < 2; ++round) {
    run_clean([&]() -> brood::task<> {
      brood::runtime::current().trace(file.path);
      CHECK_THROWS_AS(brood::runtime::current().trace(file.path), std::logic_error);
      co_return;
    });
    CHECK(is_json(file.path));
  }
  run_clean([&]() -> brood::task<> {
    CHECK_THROWS_AS(brood::runtime::current().trace("/nonexistent/folder/trace.json"), std::system_error);
    co_return;
  });
}

TEST_CASE("a snapshot counts children, waiters, queues and the arena") {
  run_clean([]() -> brood::task<> {
    brood::runtime& loop = brood::runtime::current();
    const brood::snapshot before = loop.snapshot();
    CHECK(before.children == 0);
    CHECK(before.arena.processes >= 1);
    brood::queue<int> q{8};
    co_await q.put(1);
    co_await q.put(2);
    auto child = co_await brood::spawn<nap>();
    loop.start([](brood::queue<std::string> empty) -> brood::task<> { co_await empty.next(); }(
                                                       brood::queue<std::string>{2}),
               [](const std::exception_ptr&) {});
    while (loop.snapshot().waiters == before.waiters) co_await brood::sleep_for(1ms);
    const brood::snapshot now = loop.snapshot();
    CHECK(now.children == 1);
    CHECK(now.starting == 0);
    CHECK(now.tasks == before.tasks + 1);
    CHECK(now.waiters == before.waiters + 1);
    CHECK(now.arena.bytes_used > before.arena.bytes_used);
    CHECK(now.arena.bytes_resident <= now.arena.bytes_total);
    REQUIRE(now.queues.size() == before.queues.size() + 2);
    const auto full =
        std::find_if(now.queues.begin(), now.queues.end(), [](const auto& one) { return one.items == 2; });
    REQUIRE(full != now.queues.end());
    CHECK(full->capacity == 8);
    const auto empty =
        std::find_if(now.queues.begin(), now.queues.end(), [](const auto& one) { return one.capacity == 2; });
    REQUIRE(empty != now.queues.end());
    CHECK(empty->waiting_consumers == 1);
    child.kill();
    co_await child.join();
    loop.cancel_all();
  });
}

TEST_CASE("BROOD_LOG=debug names the processes, and a wrong word is refused") {
  setenv("BROOD_LOG", "debug", 1);
  const helper_result loud = run_helper("run_app", {"join"});
  setenv("BROOD_LOG", "loud", 1);
  const helper_result wrong = run_helper("run_app", {"join"});
  unsetenv("BROOD_LOG");
  const helper_result quiet = run_helper("run_app", {"join"});
  CHECK_THAT(loud.output, contains_text(" main ("));
  CHECK_THAT(loud.output, contains_text("): the fork server"));
  CHECK_THAT(loud.output, contains_text("): started process-1 ("));
  CHECK_THAT(loud.output, contains_text(") exited with 0"));
  CHECK(wrong.code == 1);
  CHECK_THAT(wrong.output, contains_text("BROOD_LOG is \"loud\"; it may be silent, errors or debug"));
  CHECK_FALSE(quiet.output.find("the fork server") != std::string::npos);
}
