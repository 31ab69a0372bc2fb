// The manager: a dict in a server process, from one client and from a hundred.
#include <CLI/CLI.hpp>
#include <brood/brood.hpp>
#include <string>
#include <vector>

#include "measure.hpp"
#include "workers.hpp"

namespace {

struct options {
  long count = 10'000;
  int in_flight = 256;
  int clients = 100;
};

using dict = brood::managed::dict<std::string, int>;

/// Microseconds of a call, one at a time.
brood::task<double> one_at_a_time(dict d, long count, bool sets) {
  co_await d.set("key", 7);
  const double begin = bench::wall_clock();
  for (long i = 0; i < count; ++i) {
    if (sets) {
      co_await d.set("key", static_cast<int>(i));
    } else {
      const auto found = co_await d.get("key");
      bench::require(found == 7, "the value");
    }
  }
  co_return (bench::wall_clock() - begin) / static_cast<double>(count) * 1e6;
}

/// Calls a second, with many under way.
brood::task<double> pipelined(dict d, const options& chosen) {
  co_await d.set("key", 7);
  const auto one = [&]() -> brood::task<> {
    const auto found = co_await d.get("key");
    bench::require(found == 7, "the value");
  };
  const double begin = bench::wall_clock();
  co_await bench::repeat(static_cast<int>(chosen.count), chosen.in_flight, one);
  co_return static_cast<double>(chosen.count) / (bench::wall_clock() - begin);
}

brood::task<> client(dict d, brood::managed::barrier start, long count) {
  co_await d.get("key");
  co_await start.arrive();
  for (long i = 0; i < count; ++i) {
    const auto found = co_await d.get("key");
    bench::require(found == 7, "the value");
  }
}

/// Calls a second of all clients together, each a process with one call at a time.
brood::task<double> many_clients(brood::manager m, dict d, const options& chosen) {
  co_await d.set("key", 7);
  auto start = co_await m.barrier(static_cast<std::size_t>(chosen.clients) + 1);
  const long each = chosen.count / chosen.clients;
  std::vector<brood::process<void>> children;
  for (int i = 0; i < chosen.clients; ++i) children.push_back(co_await brood::spawn<client>(d, start, each));
  co_await start.arrive();
  const double begin = bench::wall_clock();
  for (const auto& child : children) co_await child.result();
  co_return static_cast<double>(each * chosen.clients) / (bench::wall_clock() - begin);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("brood's manager");
  app.require_subcommand(1);
  app.fallthrough();
  options chosen;
  app.add_option("--count", chosen.count, "calls");
  app.add_option("--in-flight", chosen.in_flight, "calls under way at a time");
  app.add_option("--clients", chosen.clients, "processes");
  CLI::App& get = *app.add_subcommand("get", "microseconds");
  CLI::App& set = *app.add_subcommand("set", "microseconds");
  CLI::App& many = *app.add_subcommand("pipelined", "calls a second");
  CLI::App& clients = *app.add_subcommand("clients", "calls a second");
  CLI11_PARSE(app, argc, argv);

  const auto measure = [&]() -> brood::task<> {
    auto m = co_await brood::manager::start();
    auto d = co_await m.dict<std::string, int>();
    if (get) bench::report(co_await one_at_a_time(d, chosen.count, false));
    if (set) bench::report(co_await one_at_a_time(d, chosen.count, true));
    if (many) bench::report(co_await pipelined(d, chosen));
    if (clients) bench::report(co_await many_clients(m, d, chosen));
    co_await m.shutdown();
  };
  return brood::run(argc, argv, measure);
}
