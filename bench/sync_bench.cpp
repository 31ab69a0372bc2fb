// Locks, semaphores, events, conditions, barriers and shared arrays, alone and between processes.
#include <CLI/CLI.hpp>
#include <atomic>
#include <brood/brood.hpp>
#include <chrono>
#include <cstddef>
#include <numeric>
#include <vector>

#include "channel_race.hpp"
#include "measure.hpp"

namespace {

using namespace std::chrono_literals;

struct options {
  long count = 100'000;
  int processes = 4;
  std::size_t size = 64 << 20;
};

/// Mapped before the fork server exists, so that all of the family share it.
struct board {
  std::atomic<int> ready;
  std::atomic<int> served;
  long counter;  // under the lock that is measured
  int turn;
};
board* const shared = bench::shared<board>();

/// Nanoseconds to take and give back what nobody else wants.
template <class Primitive>
brood::task<double> uncontended(const options& chosen) {
  const Primitive primitive;
  for (int i = 0; i < 1000; ++i) {
    const auto warm = co_await primitive.acquire();
  }
  const double begin = bench::wall_clock();
  for (long i = 0; i < chosen.count; ++i) {
    const auto held = co_await primitive.acquire();
  }
  co_return (bench::wall_clock() - begin) / static_cast<double>(chosen.count) * 1e9;
}

brood::task<> count_up(brood::lock lock, brood::event go, long share) {
  shared->ready.fetch_add(1);
  co_await go.wait();
  for (long i = 0; i < share; ++i) {
    const auto held = co_await lock.acquire();
    ++shared->counter;
  }
}

/// Acquisitions a second of several processes that do nothing else, from the common start to the end of the
/// last.
brood::task<double> contended(const options& chosen) {
  const brood::lock lock;
  const brood::event go;
  double begin = 0;
  co_await brood::with_nursery([&](brood::nursery& children) -> brood::task<> {
    for (int i = 0; i < chosen.processes; ++i) {
      const long share = bench::share_of(i, chosen.processes, chosen.count);
      co_await children.spawn<count_up>(lock, go, share);
    }
    while (shared->ready < chosen.processes) co_await brood::sleep_for(1ms);
    begin = bench::wall_clock();
    go.set();
  });
  const double elapsed = bench::wall_clock() - begin;
  bench::require(shared->counter == chosen.count, "an acquisition was not exclusive");
  co_return static_cast<double>(chosen.count) / elapsed;
}

brood::task<> wait_in_line(brood::lock lock, brood::event done, int processes) {
  {
    const auto held = co_await lock.acquire();
    if (++shared->served == processes) done.set();
  }
  co_await done.wait();  // so that nobody's end is measured
}

/// Microseconds from one of many waiting processes to the next.
brood::task<double> line(const options& chosen) {
  const brood::lock lock;
  const brood::event done;
  double elapsed = 0;
  co_await brood::with_nursery([&](brood::nursery& children) -> brood::task<> {
    brood::lock_guard held = co_await lock.acquire();
    for (int i = 0; i < chosen.processes; ++i) {
      co_await children.spawn<wait_in_line>(lock, done, chosen.processes);
    }
    while (lock.waiting() < static_cast<std::uint64_t>(chosen.processes)) co_await brood::sleep_for(1ms);
    const double begin = bench::wall_clock();
    held.release();
    co_await done.wait();
    elapsed = bench::wall_clock() - begin;
  });
  bench::require(shared->served == chosen.processes, "somebody was not served");
  co_return elapsed / chosen.processes * 1e6;
}

brood::task<> answer(brood::event asked, brood::event answered, long count) {
  for (long i = 0; i < count; ++i) {
    co_await asked.wait();
    asked.clear();
    answered.set();
  }
}

/// Microseconds from setting one event to the other's.
brood::task<double> event_round_trip(const options& chosen) {
  const brood::event asked, answered;
  auto child = co_await brood::spawn<answer>(asked, answered, chosen.count + 1);
  double begin = 0;
  for (long i = 0; i < chosen.count + 1; ++i) {
    asked.set();
    co_await answered.wait();
    answered.clear();
    if (i == 0) begin = bench::wall_clock();  // the child is there
  }
  const double elapsed = bench::wall_clock() - begin;
  co_await child.result();
  co_return elapsed / static_cast<double>(chosen.count) * 1e6;
}

brood::task<> take_turns(brood::condition condition, int mine, long count) {
  brood::lock_guard held = co_await condition.lock().acquire();
  for (long i = 0; i < count; ++i) {
    const auto is_mine = [mine] { return shared->turn == mine; };
    co_await condition.wait(held, is_mine);
    shared->turn = 1 - mine;
    condition.notify();
  }
}

/// Microseconds for two processes to have had their turn each.
brood::task<double> condition_round_trip(const options& chosen) {
  const brood::condition condition;
  auto child = co_await brood::spawn<take_turns>(condition, 1, chosen.count + 1);
  co_await take_turns(condition, 0, 1);
  {
    brood::lock_guard held = co_await condition.lock().acquire();
    const auto is_back = [] { return shared->turn == 0; };
    co_await condition.wait(held, is_back);
  }
  const double begin = bench::wall_clock();
  co_await take_turns(condition, 0, chosen.count);
  co_await child.result();
  co_return (bench::wall_clock() - begin) / static_cast<double>(chosen.count) * 1e6;
}

brood::task<> pass(brood::barrier barrier, long count) {
  for (long i = 0; i < count; ++i) co_await barrier.arrive();
}

/// Microseconds a pass.
brood::task<double> barrier_passes(const options& chosen) {
  const brood::barrier barrier(static_cast<std::uint64_t>(chosen.processes));
  double elapsed = 0;
  co_await brood::with_nursery([&](brood::nursery& children) -> brood::task<> {
    for (int i = 1; i < chosen.processes; ++i) co_await children.spawn<pass>(barrier, chosen.count + 1);
    co_await barrier.arrive();  // all are there
    const double begin = bench::wall_clock();
    for (long i = 0; i < chosen.count; ++i) co_await barrier.arrive();
    elapsed = bench::wall_clock() - begin;
  });
  co_return elapsed / static_cast<double>(chosen.count) * 1e6;
}

std::uint64_t sum_of(brood::shared_array<std::uint64_t> array, long times) {
  std::uint64_t sum = 0;
  for (long i = 0; i < times; ++i) {
    asm volatile("" ::: "memory");  // each time anew
    sum += std::accumulate(array.begin(), array.end(), std::uint64_t{0});
  }
  return sum;
}

/// GB/s at which a child reads what its parent has written.
brood::task<double> array_sum(const options& chosen) {
  const brood::shared_array<std::uint64_t> array(chosen.size / sizeof(std::uint64_t));
  std::iota(array.begin(), array.end(), 0u);
  const std::uint64_t expected = array.size() * (array.size() - 1) / 2;
  auto first = co_await brood::spawn<sum_of>(array, 1);
  bench::require(co_await first.result() == expected, "the sum");
  const double begin = bench::wall_clock();
  auto child = co_await brood::spawn<sum_of>(array, chosen.count);
  bench::require(co_await child.result() == expected * static_cast<std::uint64_t>(chosen.count), "the sum");
  const double bytes = static_cast<double>(chosen.size) * static_cast<double>(chosen.count);
  co_return bytes / (bench::wall_clock() - begin) * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("brood's synchronisation");
  app.require_subcommand(1);
  app.fallthrough();
  options chosen;
  app.add_option("--count", chosen.count, "acquisitions, round trips, passes or sums");
  app.add_option("--processes", chosen.processes);
  app.add_option("--size", chosen.size, "bytes of the array");
  CLI::App& lock = *app.add_subcommand("lock", "ns");
  CLI::App& semaphore = *app.add_subcommand("semaphore", "ns");
  CLI::App& crowd = *app.add_subcommand("contended", "1/s");
  CLI::App& waiters = *app.add_subcommand("waiters", "us");
  CLI::App& event = *app.add_subcommand("event", "us");
  CLI::App& condition = *app.add_subcommand("condition", "us");
  CLI::App& barrier = *app.add_subcommand("barrier", "us");
  CLI::App& array = *app.add_subcommand("array", "GB/s");
  CLI11_PARSE(app, argc, argv);

  const auto measure = [&]() -> brood::task<> {
    if (lock) bench::report(co_await uncontended<brood::lock>(chosen));
    if (semaphore) bench::report(co_await uncontended<brood::semaphore>(chosen));
    if (crowd) bench::report(co_await contended(chosen));
    if (waiters) bench::report(co_await line(chosen));
    if (event) bench::report(co_await event_round_trip(chosen));
    if (condition) bench::report(co_await condition_round_trip(chosen));
    if (barrier) bench::report(co_await barrier_passes(chosen));
    if (array) bench::report(co_await array_sum(chosen));
  };
  return brood::run(argc, argv, measure);
}
