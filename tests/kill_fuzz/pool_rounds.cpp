// A whole pool under SIGKILL: its workers arm themselves as they start and end at a random step, while the
// parent goes on mapping. Every result is right, each death costs the item it was at and no other, each item
// runs once unless it is to be tried again, and afterwards the memory is as before.
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <ranges>
#include <set>
#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/pool/pool.hpp"
#include "fuzz.hpp"

using namespace brood;

namespace kill_fuzz {
namespace {

constexpr int items = 3000;

/// How often each item was begun. In plain shared memory, which the fork server must have mapped too.
std::atomic<std::uint32_t>* const begun = [] {
  void* where = ::mmap(nullptr, items * sizeof(std::atomic<std::uint32_t>), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (where == MAP_FAILED) std::abort();
  return static_cast<std::atomic<std::uint32_t>*>(where);
}();

std::uint64_t begun_in_all() {
  std::uint64_t all = 0;
  for (int i = 0; i < items; ++i) all += begun[i];
  return all;
}

// ---- what runs in workers ----

/// The initializer: from the first steps of the first task to hundreds of tasks.
void arm(std::uint64_t round) {
  std::mt19937_64 random(round * 1'000'003 + static_cast<std::uint64_t>(::getpid()));
  const std::uint64_t scale = std::uint64_t{1} << (2 + random() % 11);
  fate{random() % 16 == 0 ? 0 : 1 + random() % scale, random() % 4 == 0}.arm();
}

int number_of(int x) {
  ++begun[x];
  return x * 7 - 3;
}
std::string text_of(int x) {
  ++begun[x];
  return std::string(static_cast<std::size_t>(x * 37 % (x % 50 == 0 ? 30'000 : 700)),
                     static_cast<char>('a' + x % 26));
}
task<queue<int>> box_of(int x) {
  ++begun[x];
  queue<int> made(2);
  co_await made.put(x);
  co_return made;
}
int length_of(const std::string& text, int x) {
  ++begun[x];
  return static_cast<int>(text.size()) + x;
}
int nested_of(queue<int> from, int x) {
  ++begun[x];
  return from.size() == 1 ? x : -1;
}

bool right(int x, int result) { return result == x * 7 - 3; }
bool right(int x, const std::string& result) {
  const auto size = static_cast<std::size_t>(x * 37 % (x % 50 == 0 ? 30'000 : 700));
  return result == std::string(size, static_cast<char>('a' + x % 26));
}
bool right(int x, const queue<int>& result) { return result.try_get() == x; }

// ---- what the parent looks at ----

/// Without retries: values are right, what is lost was lost with a worker of its own, nothing ran twice.
template <class R>
void check_outcomes(const std::vector<outcome<R>>& all, std::uint64_t lost) {
  std::set<int> dead;
  for (int i = 0; i < static_cast<int>(all.size()); ++i) {
    const auto& each = all[static_cast<std::size_t>(i)];
    const std::uint32_t times = begun[i];
    if (each.has_value()) {
      if (!right(i, each.value())) fail("a wrong result");
      if (times != 1) fail("an item with a result ran " + std::to_string(times) + " times");
      continue;
    }
    if (times > 1) fail("a lost item ran " + std::to_string(times) + " times");
    try {
      std::rethrow_exception(each.error());
    } catch (const child_died& e) {
      if (e.status().signal != SIGKILL) fail(std::string("a worker ended otherwise: ") + e.what());
      if (!dead.insert(e.pid()).second) fail("one death cost two items");
    }
  }
  if (dead.size() != lost) fail("items were lost that nobody counted");
}

template <auto F>
task<> collect(pool workers, int count, std::uint64_t chunk) {
  for (int i = 0; i < items; ++i) begun[i] = 0;
  const auto lost = workers.stats().tasks_lost;
  const auto all = co_await workers.map<F>(std::views::iota(0, count)).chunk(chunk).collect();
  check_outcomes(all, workers.stats().tasks_lost - lost);
}

template <auto F>
task<> try_again(pool workers, int count, std::uint64_t chunk) {
  for (int i = 0; i < items; ++i) begun[i] = 0;
  const auto lost = workers.stats().tasks_lost;
  const auto all = co_await workers.map<F>(std::views::iota(0, count))
                       .chunk(chunk)
                       .retries(1000)
                       .deadline(std::chrono::seconds(20));
  for (int i = 0; i < count; ++i) {
    if (!right(i, all[static_cast<std::size_t>(i)])) fail("a wrong result");
    if (begun[i] == 0) fail("a result of an item that never ran");
  }
  if (begun_in_all() > static_cast<std::uint64_t>(count) + workers.stats().tasks_lost - lost) {
    fail("items ran again that were not lost");
  }
}

generator<int> count_up(int count) {
  for (int i = 0; i < count; ++i) {
    if (i % 100 == 0) co_await yield();
    co_yield i;
  }
}

task<> stream(pool workers, int count, std::uint64_t chunk) {
  auto results = workers.imap<text_of>(count_up(count)).chunk(chunk).window(200).retries(1000);
  for (int i = 0; i < count; ++i) {
    const auto next = co_await results.next();
    if (!next || !right(i, *next)) fail("a wrong result of a stream");
  }
  const auto end = co_await results.next();
  if (end) fail("a result too many");
}

/// Requests of any size, with handles in them.
task<> arguments(pool workers, int count, std::uint64_t chunk) {
  for (int i = 0; i < items; ++i) begun[i] = 0;
  std::vector<std::tuple<std::string, int>> texts;
  std::vector<std::tuple<queue<int>, int>> boxes;
  for (int i = 0; i < count; ++i) {
    texts.emplace_back(std::string(pick(i % 20 == 0 ? 20'000 : 300), 'x'), i);
    queue<int> box(1);
    box.try_put(i);
    boxes.emplace_back(box, i);
  }
  const auto lengths = co_await workers.starmap<length_of>(texts).chunk(chunk).retries(1000);
  const auto numbers = co_await workers.starmap<nested_of>(boxes).chunk(chunk).retries(1000);
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] != static_cast<int>(std::get<0>(texts[i]).size() + i)) fail("a wrong length");
    if (numbers[i] != static_cast<int>(i)) fail("a wrong box");
  }
}

/// Calls of which some are given up, queued or running.
task<> calls(pool workers, int count) {
  std::vector<future<int>> all;
  for (int i = 0; i < count; ++i) all.push_back(workers.submit<number_of>(i).retries(1000));
  for (int i = 0; i < count; i += 7) all[static_cast<std::size_t>(i)].cancel();
  for (int i = 0; i < count; ++i) {
    try {
      const int result = co_await all[static_cast<std::size_t>(i)];
      if (!right(i, result)) fail("a wrong result of a call");
    } catch (const cancelled&) {
      if (i % 7 != 0) fail("a call was given up that nobody cancelled");
    }
  }
}

task<> map_while_workers_die(std::uint64_t round) {
  auto opening = pool::open(static_cast<int>(1 + pick(4))).initializer<arm>(round);
  if (pick(3) == 0) {
    static_cast<void>(std::move(opening).max_tasks_per_worker(static_cast<std::int64_t>(1 + pick(300))));
  }
  auto workers = co_await std::move(opening);
  const std::uint64_t chunk = pick(3) == 0 ? 1 : 1 + pick(40);
  co_await collect<number_of>(workers, items, chunk);
  co_await collect<text_of>(workers, items / 3, chunk);
  co_await collect<box_of>(workers, items / 20, chunk);
  co_await try_again<number_of>(workers, items, chunk);
  co_await try_again<text_of>(workers, items / 3, chunk);
  co_await stream(workers, items / 3, chunk);
  co_await arguments(workers, items / 10, chunk);
  co_await calls(workers, items / 10);
  if (pick(4) == 0) {
    auto left = workers.submit<text_of>(1);
    workers.terminate();
    co_await workers.join();
  } else {
    co_await workers.close();
  }
  kills += workers.stats().workers_died;
}

}  // namespace

void run_pool_round() {
  current_round = "pool";
  const accounts before;
  ::alarm(round_seconds);
  const std::uint64_t round = chance();
  in_loop([&] { return map_while_workers_die(round); });
  ::alarm(0);
  before.require_balance();
}

}  // namespace kill_fuzz
