// lane: the steps of its state machine, and what each leaves when its process is killed there.
#include "brood/pool/detail/lane.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "brood/pool/detail/job.hpp"
#include "brood/pool/detail/pool_function.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"

using namespace brood::detail;
using brood::test::memory;

namespace {

brood::arena& shared() { return brood::family_memory::get(); }

/// A task of `items` ints, of which the first is `first`.
void write(lane_slot& slot, int first, std::uint32_t items) {
  slot.size = items * sizeof(int);
  slot.block = 0;
  slot.first = 0;
  slot.last = items;
  slot.timed = 0;
  slot.stop_at_error = 0;
  for (std::uint32_t i = 0; i < items; ++i) {
    const int value = first + static_cast<int>(i);
    std::memcpy(slot.request + i * sizeof value, &value, sizeof value);
  }
}
void give(lane& to, int first, std::uint32_t items) {
  write(to.prepare(to.given()), first, items);
  to.give(1);
}

int first_of(const lane_slot& slot) {
  int value = 0;
  std::memcpy(&value, slot.request, sizeof value);
  return value;
}

int negate(int x) { return -x; }
std::string say(int x) { return std::string(1000, static_cast<char>('a' + x % 26)); }
int fail_at_two(int x) {
  if (x == 2) throw std::runtime_error("two");
  return x;
}
[[noreturn]] void killed() {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}
int killed_at_three(int x) {
  if (x == 3) killed();
  return x * 10;
}
std::string killed_at_three_words(int x) {
  if (x == 3) killed();
  return std::string(500, static_cast<char>('0' + x));
}

/// The ints in a slot's results.
template <class R>
std::vector<R> results_of(lane& from, std::uint32_t task) {
  const std::string worker = "worker";
  result_reader reader(from.memory(), from.slot(task), worker, 1);
  std::vector<R> values;
  while (auto record = reader.next(sizeof(R))) {
    if (record->kind == record_kind::values) {
      for (std::uint64_t i = 0; i < record->count; ++i) {
        values.push_back(brood::decode<R>(record->bytes.subspan(i * sizeof(R), sizeof(R))));
      }
    } else if (record->kind == record_kind::value) {
      values.push_back(brood::decode<R>(record->bytes));
    }
  }
  return values;
}

}  // namespace

TEST_CASE("tasks are claimed in order, each once") {
  const memory whole;
  const auto at = lane::create(shared());
  CHECK_FALSE(at->claim());
  for (int i = 0; i < 5; ++i) give(*at, i, 1);
  for (std::uint32_t i = 0; i < 5; ++i) CHECK(at->claim() == i);
  CHECK_FALSE(at->claim());
}

TEST_CASE("what is taken back is not claimed, and what was claimed is not taken back") {
  const memory whole;
  const auto at = lane::create(shared());
  for (int i = 0; i < 5; ++i) give(*at, i, 1);
  CHECK(at->claim() == 0u);
  CHECK(at->take_back(2) == 2);
  CHECK(at->take_back(100) == 2);
  CHECK(at->take_back(1) == 0);
  CHECK_FALSE(at->claim());
  give(*at, 50, 1);
  CHECK(at->claim() == 1u);
  CHECK(first_of(at->slot(1)) == 50);
}

TEST_CASE("the numbers of tasks go on beyond 32 bits") {
  const memory whole;
  const auto at = lane::create(shared());
  at->state().window.store(lane::make_window(UINT32_MAX - 1, UINT32_MAX - 1));
  at->state().slots_used.store(lane_slots);
  for (int i = 0; i < 128; ++i) std::memset(static_cast<void*>(&at->state().slots[i]), 0, 128);
  for (int i = 0; i < 4; ++i) give(*at, i, 1);
  CHECK(at->given() == 2);
  for (const std::uint32_t number : {UINT32_MAX - 1, UINT32_MAX, 0u, 1u}) CHECK(at->claim() == number);
  CHECK_FALSE(at->claim());
  CHECK(at->take_back(9) == 0);
}

TEST_CASE("a claim and a taking back at the same time never get the same task") {
  const memory whole;
  const auto at = lane::create(shared());
  constexpr int rounds = 20'000;
  std::atomic<int> claimed{0};
  std::atomic<bool> over{false};
  std::thread worker([&] {
    for (;;) {
      const bool last = over.load();
      if (at->claim()) {
        ++claimed;
      } else if (last) {
        return;
      }
    }
  });
  int back = 0;
  int given = 0;
  while (given < rounds) {
    for (std::uint32_t k = 0; k < 4; ++k, ++given) write(at->prepare(at->given() + k), given, 1);
    at->give(4);
    back += static_cast<int>(at->take_back(2));
  }
  over = true;
  worker.join();
  CHECK(claimed + back == given);
}

TEST_CASE("the results of a chunk lie behind each other") {
  const memory whole;
  const auto at = lane::create(shared());
  give(*at, 1, 20);
  task_run task(*at, *at->claim());
  pool_function<negate>::run(task);
  task.publish();
  CHECK(at->published() == 1);
  const auto values = results_of<int>(*at, 0);
  REQUIRE(values.size() == 20);
  for (int i = 0; i < 20; ++i) CHECK(values[static_cast<std::size_t>(i)] == -(i + 1));
  at->free_result(at->slot(0));
}

TEST_CASE("results that outgrow their place move to a larger one") {
  const memory whole;
  const auto at = lane::create(shared());
  give(*at, 1, 20);
  task_run task(*at, *at->claim());
  pool_function<say>::run(task);
  task.publish();
  const auto values = results_of<std::string>(*at, 0);
  REQUIRE(values.size() == 20);
  for (int i = 0; i < 20; ++i) CHECK(values[static_cast<std::size_t>(i)] == say(i + 1));
  at->free_result(at->slot(0));
}

TEST_CASE("an item that throws stops the chunk only if it is told to") {
  const memory whole;
  const auto at = lane::create(shared());
  for (const unsigned stop : {0u, 1u}) {
    give(*at, 0, 5);
    const std::uint32_t number = *at->claim();
    at->slot(number).stop_at_error = stop & 1;
    task_run task(*at, number);
    pool_function<fail_at_two>::run(task);
    task.publish();
    CHECK(results_of<int>(*at, number) ==
          (stop != 0 ? std::vector<int>{0, 1} : std::vector<int>{0, 1, 3, 4}));
    at->free_result(at->slot(number));
  }
}

TEST_CASE("who condemns an item and the end of the item exclude each other") {
  const memory whole;
  const auto at = lane::create(shared());
  CHECK(at->running() == 0);
  CHECK_FALSE(at->condemn(0));
  give(*at, 1, 1);
  task_run task(*at, *at->claim());
  const std::uint64_t name = at->running();
  CHECK(name != 0);
  pool_function<negate>::run(task);
  task.publish();
  CHECK_FALSE(at->condemn(name));
  give(*at, 1, 1);
  const task_run next(*at, *at->claim());
  CHECK(at->running() != name);
  CHECK(at->condemn(at->running()));
  CHECK(at->running() == 0);  // nobody condemns it twice
  at->free_result(at->slot(0));
}

TEST_CASE("the results that a killed worker had are there, whatever their form") {
  const memory whole;
  const auto at = lane::create(shared());
  SECTION("of a fixed size") {
    give(*at, 0, 30);
    brood::test::child worker([&] {
      task_run task(*at, *at->claim());
      pool_function<killed_at_three>::run(task);
    });
    CHECK(worker.join() == -SIGKILL);
    CHECK(at->claimed() == 1);
    CHECK(at->published() == 0);
    CHECK(results_of<int>(*at, 0) == std::vector<int>{0, 10, 20});
  }
  SECTION("of any size") {
    give(*at, 0, 30);
    brood::test::child worker([&] {
      task_run task(*at, *at->claim());
      pool_function<killed_at_three_words>::run(task);
    });
    CHECK(worker.join() == -SIGKILL);
    CHECK(results_of<std::string>(*at, 0) ==
          std::vector<std::string>{std::string(500, '0'), std::string(500, '1'), std::string(500, '2')});
  }
  at->free_result(at->slot(0));
}

TEST_CASE("the memory of a lane goes with its last handle, with the results nobody took") {
  const memory whole;
  auto at = lane::create(shared());
  give(*at, 1, 20);
  task_run task(*at, *at->claim());
  pool_function<say>::run(task);
  task.publish();
  at.reset();  // `memory` checks
}

TEST_CASE("a hub says which lanes have something, once") {
  const memory whole;
  const auto center = hub::create(shared(), 130);
  CHECK_FALSE(center->anything());
  CHECK(center->words() == 3);
  center->notify(0);
  center->notify(129);
  center->notify(129);
  CHECK(center->anything());
  CHECK(center->take(0) == 1);
  CHECK(center->take(1) == 0);
  CHECK(center->take(2) == 2);
  CHECK_FALSE(center->anything());
}
