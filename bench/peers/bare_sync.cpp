// What the machine can do: robust pthread mutexes in shared memory, and processes that wake each other by
// futex.
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <vector>

#include "../channel_race.hpp"
#include "../measure.hpp"

namespace {

/// A robust mutex that processes share.
class robust_mutex {
 public:
  robust_mutex() {
    pthread_mutexattr_t how;
    pthread_mutexattr_init(&how);
    pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex_, &how);
    pthread_mutexattr_destroy(&how);
  }
  void lock() { bench::require(pthread_mutex_lock(&mutex_) == 0, "pthread_mutex_lock"); }
  void unlock() { bench::require(pthread_mutex_unlock(&mutex_) == 0, "pthread_mutex_unlock"); }

 private:
  pthread_mutex_t mutex_;
};

double uncontended(long count) {
  auto& mutex = *bench::shared<robust_mutex>();
  const double begin = bench::wall_clock();
  for (long i = 0; i < count; ++i) {
    mutex.lock();
    mutex.unlock();
  }
  return (bench::wall_clock() - begin) / static_cast<double>(count) * 1e9;
}

double contended(int processes, long count) {
  auto& mutex = *bench::shared<robust_mutex>();
  long& counter = *bench::shared<long>();
  const double rate = bench::race(
      processes, 0, count,
      [&](int, long share) {
        for (long i = 0; i < share; ++i) {
          mutex.lock();
          ++counter;
          mutex.unlock();
        }
      },
      [](int, long) {});
  bench::require(counter == count, "an acquisition was not exclusive");
  return rate;
}

/// A word that is waited for by futex(2), without spinning.
class sleeping_word {
 public:
  void set(std::uint32_t value, int wake) {
    word_.store(value);
    syscall(SYS_futex, &word_, FUTEX_WAKE, wake, nullptr, nullptr, 0);
  }
  void wait_while(std::uint32_t value) {
    while (word_.load() == value) syscall(SYS_futex, &word_, FUTEX_WAIT, value, nullptr, nullptr, 0);
  }
  std::atomic<std::uint32_t>& word() { return word_; }

 private:
  std::atomic<std::uint32_t> word_ = 0;
};

double round_trip(long count) {
  auto& turn = *bench::shared<sleeping_word>();
  const double rate = bench::race(
      1, 1, count,
      [&](int, long share) {
        for (long i = 0; i < share; ++i) {
          turn.set(1, 1);
          turn.wait_while(1);
        }
      },
      [&](int, long share) {
        for (long i = 0; i < share; ++i) {
          turn.wait_while(0);
          turn.set(0, 1);
        }
      });
  return 1e6 / rate;
}

struct futex_barrier {
  std::atomic<std::uint32_t> arrived = 0;
  sleeping_word phase;
};

double barrier(int processes, long count) {
  auto& shared = *bench::shared<futex_barrier>();
  const double rate = bench::race(
      processes, 0, count * processes,
      [&](int, long share) {
        for (long i = 0; i < share; ++i) {
          const std::uint32_t phase = shared.phase.word().load();
          if (shared.arrived.fetch_add(1) + 1 == static_cast<std::uint32_t>(processes)) {
            shared.arrived = 0;
            shared.phase.set(phase + 1, processes);
          } else {
            shared.phase.wait_while(phase);
          }
        }
      },
      [](int, long) {});
  return 1e6 / (rate / processes);
}

double sum(std::size_t size, long count) {
  std::vector<std::uint64_t> numbers(size / sizeof(std::uint64_t));
  std::iota(numbers.begin(), numbers.end(), 0u);
  std::uint64_t total = 0;
  const double begin = bench::wall_clock();
  for (long i = 0; i < count; ++i) {
    asm volatile("" ::: "memory");
    total += std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0});
  }
  const double elapsed = bench::wall_clock() - begin;
  bench::require(total == numbers.size() * (numbers.size() - 1) / 2 * static_cast<std::uint64_t>(count),
                 "the sum");
  return static_cast<double>(size) * static_cast<double>(count) / elapsed * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("robust mutexes and futexes");
  app.require_subcommand(1);
  app.fallthrough();
  long count = 100'000;
  int processes = 4;
  std::size_t size = 64 << 20;
  app.add_option("--count", count);
  app.add_option("--processes", processes);
  app.add_option("--size", size);
  CLI::App& mutex = *app.add_subcommand("mutex", "ns");
  CLI::App& crowd = *app.add_subcommand("contended", "1/s");
  CLI::App& trip = *app.add_subcommand("round-trip", "us");
  bool one_way = false;
  trip.add_flag("--one-way", one_way, "half of it");
  CLI::App& wall = *app.add_subcommand("barrier", "us");
  CLI::App& array = *app.add_subcommand("sum", "GB/s");
  CLI11_PARSE(app, argc, argv);
  return bench::guarded([&] {
    if (mutex) bench::report(uncontended(count));
    if (crowd) bench::report(contended(processes, count));
    if (trip) bench::report(round_trip(count) / (one_way ? 2 : 1));
    if (wall) bench::report(barrier(processes, count));
    if (array) bench::report(sum(size, count));
  });
}
