// Children that run functions and programs: how fast they start, what they cost while they live and when they
// end.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <brood/brood.hpp>
#include <chrono>
#include <new>
#include <vector>

#include "measure.hpp"
#include "workers.hpp"

namespace {

using namespace std::chrono_literals;

struct options {
  int count = 1000;
  int in_flight = 1;
  int exits = 100;
  std::size_t heap_mib = 0;
};

void empty_function() {}

brood::task<> run_function() {
  auto child = co_await brood::spawn<empty_function>();
  const auto status = co_await child.join();
  bench::require(status.exitcode == 0, "a child did not exit with 0");
}

brood::task<> run_program() {
  const auto status = co_await brood::command("/bin/true").status();
  bench::require(status.exitcode == 0, "a program did not exit with 0");
}

/// Children a second.
template <class Operation>
brood::task<double> rate(const options& chosen, Operation operation) {
  co_await operation();  // what the first one sets up is not the children's cost
  const double begin = bench::wall_clock();
  co_await bench::repeat(chosen.count, chosen.in_flight, operation);
  co_return chosen.count / (bench::wall_clock() - begin);
}

/// How many idle children have begun. Mapped before the fork server exists, so that all of the family share
/// it.
std::atomic<int>* const running =
    new (mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
        std::atomic<int>(0);

void count_and_pause() {
  running->fetch_add(1);
  for (;;) pause();
}

class idle_children {
 public:
  /// Returns when all of them run.
  brood::task<> start(int count) {
    const int all = running->load() + count;
    co_await bench::repeat(count, 64, [this]() -> brood::task<> {
      processes_.push_back(co_await brood::spawn<count_and_pause>());
    });
    while (running->load() < all) co_await brood::sleep_for(1ms);
  }

  brood::task<> end(std::size_t index) {
    processes_[index].terminate();
    const auto status = co_await processes_[index].join();
    bench::require(status.signal == SIGTERM, "a child did not end by SIGTERM");
  }

  brood::task<> end_all() {
    for (auto& process : processes_) process.terminate();
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      const auto status = co_await processes_[i].join();
      bench::require(status.signal == SIGTERM, "a child did not end by SIGTERM");
    }
    processes_.clear();
  }

  /// CPU seconds of this process for one exit: from the end of the child to its status.
  brood::task<double> exit_cost(int exits) {
    std::vector<double> costs;
    const auto chosen = static_cast<std::size_t>(exits);
    const std::size_t first = (processes_.size() - chosen) / 2;
    for (std::size_t i = 0; i < chosen; ++i) {
      auto& victim = processes_[first + i];
      victim.terminate();
      const double begin = bench::cpu_clock();
      const auto status = co_await victim.join();
      costs.push_back(bench::cpu_clock() - begin);
      bench::require(status.signal == SIGTERM, "a child did not end by SIGTERM");
    }
    co_return bench::median(costs);
  }

 private:
  std::vector<brood::process<void>> processes_;
};

brood::task<double> seconds_until_all_run(int count) {
  idle_children children;
  const double begin = bench::wall_clock();
  co_await children.start(count);
  const double elapsed = bench::wall_clock() - begin;
  co_await children.end_all();
  co_return elapsed;
}

brood::task<double> memory_per_child(int count) {
  co_await run_function();
  idle_children children;
  const double before = bench::settled_memory_in_use_kib();
  co_await children.start(count);
  const double after = bench::settled_memory_in_use_kib();
  co_await children.end_all();
  co_return (after - before) / count;
}

brood::task<double> exit_cost_among(int alive, int exits) {
  idle_children children;
  co_await children.start(alive + exits);
  const double cost = co_await children.exit_cost(exits);
  co_await children.end_all();
  co_return cost;
}

/// The 99th percentile of the loop's busy times, in milliseconds.
brood::task<double> stall(const options& chosen) {
  co_await run_function();
  brood::runtime::current().measure_stalls();
  co_await bench::repeat(chosen.count, chosen.in_flight, run_function);
  co_return static_cast<double>(brood::runtime::current().stalls().p99) * 1e-6;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("brood's children");
  app.require_subcommand(1);
  app.fallthrough();
  options chosen;
  app.add_option("--count", chosen.count, "children");
  app.add_option("--in-flight", chosen.in_flight, "how many may be alive at once");
  app.add_option("--heap-mib", chosen.heap_mib, "touched memory of the parent");
  app.add_option("--exits", chosen.exits, "how many exits to average");
  CLI::App& function_rate = *app.add_subcommand("function", "children that run an empty function, a second");
  CLI::App& program_rate = *app.add_subcommand("program", "runs of /bin/true, a second");
  CLI::App& live = *app.add_subcommand("live", "seconds until all children run");
  CLI::App& memory = *app.add_subcommand("memory", "KiB of system memory for each living child");
  CLI::App& ratio =
      *app.add_subcommand("exit-cost-ratio", "cost of an exit among `count` children over one in 100");
  CLI::App& stalls = *app.add_subcommand("stall", "99th percentile of the loop's busy times, in ms");
  CLI11_PARSE(app, argc, argv);

  const auto measure = [&]() -> brood::task<> {
    const bench::touched_heap heap(
        chosen.heap_mib);  // after the fork server has been started, as in a program that grew
    if (function_rate) bench::report(co_await rate(chosen, run_function));
    if (program_rate) bench::report(co_await rate(chosen, run_program));
    if (live) bench::report(co_await seconds_until_all_run(chosen.count));
    if (memory) bench::report(co_await memory_per_child(chosen.count));
    if (ratio) {
      const double among_few = co_await exit_cost_among(100, chosen.exits);
      const double among_many = co_await exit_cost_among(chosen.count, chosen.exits);
      bench::report_ratio(among_many, among_few);
    }
    if (stalls) bench::report(co_await stall(chosen));
  };
  return brood::run(argc, argv, measure);
}
