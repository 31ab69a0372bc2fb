// Boost.Interprocess: mutex, semaphore and condition in shared memory.
#include <CLI/CLI.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include "../channel_race.hpp"
#include "../measure.hpp"

namespace {

namespace interprocess = boost::interprocess;
using lock = interprocess::scoped_lock<interprocess::interprocess_mutex>;

double mutex_uncontended(long count) {
  auto& mutex = *bench::shared<interprocess::interprocess_mutex>();
  const double begin = bench::wall_clock();
  for (long i = 0; i < count; ++i) const lock held(mutex);
  return (bench::wall_clock() - begin) / static_cast<double>(count) * 1e9;
}

double semaphore_uncontended(long count) {
  auto* where = bench::shared_bytes(sizeof(interprocess::interprocess_semaphore));
  auto& semaphore = *new (where) interprocess::interprocess_semaphore(1);
  const double begin = bench::wall_clock();
  for (long i = 0; i < count; ++i) {
    semaphore.wait();
    semaphore.post();
  }
  return (bench::wall_clock() - begin) / static_cast<double>(count) * 1e9;
}

double contended(int processes, long count) {
  auto& mutex = *bench::shared<interprocess::interprocess_mutex>();
  long& counter = *bench::shared<long>();
  const double rate = bench::race(
      processes, 0, count,
      [&](int, long share) {
        for (long i = 0; i < share; ++i) {
          const lock held(mutex);
          ++counter;
        }
      },
      [](int, long) {});
  bench::require(counter == count, "an acquisition was not exclusive");
  return rate;
}

struct turns {
  interprocess::interprocess_mutex mutex;
  interprocess::interprocess_condition condition;
  int turn = 0;
};

double round_trip(long count) {
  auto& shared = *bench::shared<turns>();
  const auto take = [&shared](int mine, long share) {
    for (long i = 0; i < share; ++i) {
      lock held(shared.mutex);
      shared.condition.wait(held, [&] { return shared.turn == mine; });
      shared.turn = 1 - mine;
      shared.condition.notify_one();
    }
  };
  const double rate = bench::race(
      1, 1, count, [&](int, long share) { take(0, share); }, [&](int, long share) { take(1, share); });
  return 1e6 / rate;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Boost.Interprocess synchronisation");
  app.require_subcommand(1);
  app.fallthrough();
  long count = 100'000;
  int processes = 4;
  app.add_option("--count", count);
  app.add_option("--processes", processes);
  CLI::App& mutex = *app.add_subcommand("mutex", "ns");
  CLI::App& semaphore = *app.add_subcommand("semaphore", "ns");
  CLI::App& crowd = *app.add_subcommand("contended", "1/s");
  CLI::App& condition = *app.add_subcommand("condition", "us");
  CLI11_PARSE(app, argc, argv);
  return bench::guarded([&] {
    if (mutex) bench::report(mutex_uncontended(count));
    if (semaphore) bench::report(semaphore_uncontended(count));
    if (crowd) bench::report(contended(processes, count));
    if (condition) bench::report(round_trip(count));
  });
}
