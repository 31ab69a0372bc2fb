// The pool: tasks a second one by one and in chunks, the round trip of one call, and how long opening takes.
#include <CLI/CLI.hpp>
#include <brood/brood.hpp>
#include <numeric>
#include <ranges>
#include <vector>

#include "measure.hpp"

namespace {

struct options {
  int count = 100'000;
  int workers = 4;
};

unsigned square(unsigned x) { return x * x; }
unsigned same(unsigned x) { return x; }

std::vector<unsigned> numbers(int count) {
  std::vector<unsigned> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0u);
  return all;
}

void require_squares(const std::vector<unsigned>& results, int count) {
  bench::require(results.size() == static_cast<std::size_t>(count), "number of results");
  for (unsigned i = 0; i < results.size(); ++i) bench::require(results[i] == i * i, "a result");
}

/// A pool whose workers have all run a task, as a peer's have after its first map.
brood::task<brood::pool> warm_pool(int workers) {
  auto pool = co_await brood::pool::open(workers);
  co_await pool.map<square>(numbers(1000));
  co_return pool;
}

/// Tasks a second; `chunk` 0: the default.
brood::task<double> map(options chosen, std::uint64_t chunk) {
  auto pool = co_await warm_pool(chosen.workers);
  const auto items = numbers(chosen.count);
  const double begin = bench::wall_clock();
  auto mapping = pool.map<square>(items);
  const auto results = co_await std::move(mapping).chunk(chunk);
  const double elapsed = bench::wall_clock() - begin;
  require_squares(results, chosen.count);
  co_await pool.close();
  co_return chosen.count / elapsed;
}

brood::task<double> imap_unordered(options chosen) {
  auto pool = co_await warm_pool(chosen.workers);
  const auto items = numbers(chosen.count);
  std::uint64_t sum = 0;
  const double begin = bench::wall_clock();
  auto results = pool.imap_unordered<same>(items);
  while (const auto next = co_await results.next()) sum += *next;
  const double elapsed = bench::wall_clock() - begin;
  const auto n = static_cast<std::uint64_t>(chosen.count);
  bench::require(sum == n * (n - 1) / 2, "sum of the results");
  co_await pool.close();
  co_return chosen.count / elapsed;
}

/// Microseconds for one call and its result.
brood::task<double> round_trip(options chosen) {
  auto pool = co_await warm_pool(chosen.workers);
  const double begin = bench::wall_clock();
  for (unsigned i = 0; i < static_cast<unsigned>(chosen.count); ++i) {
    const unsigned result = co_await pool.apply<square>(i);
    bench::require(result == i * i, "a result");
  }
  const double elapsed = bench::wall_clock() - begin;
  co_await pool.close();
  co_return elapsed / chosen.count * 1e6;
}

/// Milliseconds until every worker is ready for tasks.
brood::task<double> open(options chosen) {
  std::vector<double> times;
  for (int i = 0; i < chosen.count; ++i) {
    const double begin = bench::wall_clock();
    auto pool = co_await brood::pool::open(chosen.workers);
    times.push_back((bench::wall_clock() - begin) * 1e3);
    const unsigned result = co_await pool.apply<square>(7u);
    bench::require(result == 49, "a result");
    co_await pool.close();
  }
  co_return bench::median(times);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("brood's pool");
  app.require_subcommand(1);
  app.fallthrough();
  options chosen;
  app.add_option("--count", chosen.count, "tasks, or pools");
  app.add_option("--workers", chosen.workers);
  CLI::App& one_by_one = *app.add_subcommand("map-chunk1", "map with a chunk of 1: tasks a second");
  CLI::App& in_chunks = *app.add_subcommand("map", "map with its default chunk: tasks a second");
  CLI::App& unordered = *app.add_subcommand("imap-unordered", "tasks a second");
  CLI::App& apply = *app.add_subcommand("apply", "microseconds of one call");
  CLI::App& opening = *app.add_subcommand("open", "milliseconds until all workers are ready");
  CLI11_PARSE(app, argc, argv);

  const auto measure = [&]() -> brood::task<> {
    double value = 0;
    if (one_by_one) value = co_await map(chosen, 1);
    if (in_chunks) value = co_await map(chosen, 0);
    if (unordered) value = co_await imap_unordered(chosen);
    if (apply) value = co_await round_trip(chosen);
    if (opening) value = co_await open(chosen);
    bench::report(value);
  };
  return brood::run(argc, argv, measure);
}
