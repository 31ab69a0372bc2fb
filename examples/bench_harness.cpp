// bench_harness [OPTION...] COMMAND...: how long commands take, and which is the fastest; a small hyperfine.
//
//   bench_harness --cpus 1 --warmup 3 --runs 20 'sort -n big.txt' 'sort -n --parallel=1 big.txt'
//
// The commands take turns, round after round, so that whatever else the machine does meanwhile is shared by all of them.
// A time is that from asking for the process to its status; the start by the fork server is in it, some tenths of a
// millisecond, the same for all.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "brood/brood.hpp"
#include "common/json.hpp"

namespace {

struct settings {
  int warmup = 1;
  int runs = 10;
  std::vector<int> cpus;
  std::string prepare;
  std::string export_json;
  bool ignore_failure = false;
  bool show_output = false;
  std::vector<std::string> commands;
};

struct sample {
  double seconds = 0;
  double user = 0;
  double system = 0;
  double peak_memory = 0;  // bytes
  double switches = 0;     // of context, wanted or not
};

struct contestant {
  std::string command;
  std::vector<sample> samples;

  double median(double sample::* which) const {
    std::vector<double> values = all(which);
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) return *middle;
    return (*middle + *std::max_element(values.begin(), middle)) / 2;
  }
  /// Half of the samples lie within so much of the median: the median absolute deviation.
  double spread(double sample::* which) const {
    contestant distances;
    const double middle = median(which);
    for (const double value : all(which)) distances.samples.push_back({std::abs(value - middle), 0, 0, 0, 0});
    return distances.median(&sample::seconds);
  }
  double mean(double sample::* which) const {
    const auto values = all(which);
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
  double least(double sample::* which) const { return std::ranges::min(all(which)); }
  double most(double sample::* which) const { return std::ranges::max(all(which)); }

 private:
  std::vector<double> all(double sample::* which) const {
    std::vector<double> values;
    values.reserve(samples.size());
    for (const sample& one : samples) values.push_back(one.*which);
    return values;
  }
};

brood::command shell_of(const std::string& command, const settings& how) {
  const brood::stdio output = how.show_output ? brood::inherit : brood::null;
  brood::command shell =
      brood::command("/bin/sh", "-c", command).stdin_(brood::null).stdout_(output).stderr_(output);
  if (how.cpus.empty()) return shell;
  return std::move(shell).cpus(how.cpus);
}

brood::task<sample> run_once(const std::string& command, const settings& how) {
  brood::command shell = shell_of(command, how);
  const auto begin = brood::clock::now();
  const brood::exit_status status = co_await std::move(shell).status();
  const std::chrono::duration<double> time = brood::clock::now() - begin;
  if (!status.success() && !how.ignore_failure) {
    throw std::runtime_error(
        fmt::format("`{}` {}; --ignore-failure measures it all the same", command, brood::describe(status)));
  }
  const auto seconds = [](auto duration) { return std::chrono::duration<double>(duration).count(); };
  const brood::resource_usage& used = status.usage;
  co_return sample{time.count(), seconds(used.user_time), seconds(used.system_time),
                   static_cast<double>(used.peak_memory),
                   static_cast<double>(used.voluntary_switches + used.involuntary_switches)};
}

brood::task<> measure(std::vector<contestant>& contestants, const settings& how) {
  for (int round = -how.warmup; round < how.runs; ++round) {
    for (contestant& each : contestants) {
      if (!how.prepare.empty()) {
        settings quiet = how;
        quiet.cpus.clear();
        co_await run_once(how.prepare, quiet);
      }
      const sample one = co_await run_once(each.command, how);
      if (round >= 0) each.samples.push_back(one);
    }
  }
}

std::string time_text(double seconds) {
  if (seconds < 1e-3) return fmt::format("{:.1f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.3f} s", seconds);
}

void show(const std::vector<contestant>& contestants) {
  for (const contestant& each : contestants) {
    fmt::print("{}\n", each.command);
    fmt::print("  time    median {} ± {}, from {} to {}\n", time_text(each.median(&sample::seconds)),
               time_text(each.spread(&sample::seconds)), time_text(each.least(&sample::seconds)),
               time_text(each.most(&sample::seconds)));
    fmt::print("  used    user {}, system {}, {:.1f} MiB at most, {:.0f} context switches\n\n",
               time_text(each.median(&sample::user)), time_text(each.median(&sample::system)),
               each.most(&sample::peak_memory) / 1048576, each.median(&sample::switches));
  }
  if (contestants.size() < 2) return;
  const auto faster = [](const contestant& a, const contestant& b) {
    return a.median(&sample::seconds) < b.median(&sample::seconds);
  };
  const contestant& best = *std::min_element(contestants.begin(), contestants.end(), faster);
  fmt::print("fastest: {}\n", best.command);
  for (const contestant& each : contestants) {
    if (&each == &best) continue;
    const double ratio = each.median(&sample::seconds) / best.median(&sample::seconds);
    const double relative = std::hypot(each.spread(&sample::seconds) / each.median(&sample::seconds),
                                       best.spread(&sample::seconds) / best.median(&sample::seconds));
    fmt::print("  {:.2f} ± {:.2f} times as fast as {}\n", ratio, ratio * relative, each.command);
  }
}

void write_json(const std::vector<contestant>& contestants, const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) throw std::system_error(errno, std::generic_category(), path);
  fmt::print(file, "{{\"results\": [");
  const char* separator = "\n";
  for (const contestant& each : contestants) {
    std::string times;
    for (const sample& one : each.samples)
      times += fmt::format("{}{:.9f}", times.empty() ? "" : ", ", one.seconds);
    fmt::print(
        file,
        "{}  {{\"command\": {}, \"median\": {:.9f}, \"spread\": {:.9f}, \"mean\": {:.9f}, \"min\": {:.9f}, "
        "\"max\": {:.9f}, \"user\": {:.9f}, \"system\": {:.9f}, \"peak_memory\": {:.0f}, \"times\": [{}]}}",
        std::exchange(separator, ",\n"), json_text(each.command), each.median(&sample::seconds),
        each.spread(&sample::seconds), each.mean(&sample::seconds), each.least(&sample::seconds),
        each.most(&sample::seconds), each.median(&sample::user), each.median(&sample::system),
        each.most(&sample::peak_memory), times);
  }
  fmt::print(file, "\n]}}\n");
  if (std::fclose(file) != 0) throw std::system_error(errno, std::generic_category(), path);
}

brood::task<int> application(std::vector<std::string> command_line) {
  settings chosen;
  CLI::App arguments("Measures how long commands take, and compares them.");
  arguments.add_option("-w,--warmup", chosen.warmup, "runs of each before the measured ones")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  arguments.add_option("-r,--runs", chosen.runs, "measured runs of each")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  arguments.add_option("-c,--cpus", chosen.cpus, "the CPUs they may run on, such as 0,1")->delimiter(',');
  arguments.add_option("-p,--prepare", chosen.prepare, "a command to run before each run, unmeasured");
  arguments.add_option("--export-json", chosen.export_json, "a file for the figures");
  arguments.add_flag("-i,--ignore-failure", chosen.ignore_failure, "go on when a command fails");
  arguments.add_flag("--show-output", chosen.show_output, "do not hide what the commands write");
  arguments.add_option("COMMAND", chosen.commands, "what to measure; the shell reads it")->required();
  try {
    std::vector<std::string> words(command_line.rbegin(),
                                   command_line.rend() - 1);  // CLI11 wants them backwards
    arguments.parse(words);
  } catch (const CLI::ParseError& e) {
    co_return arguments.exit(e);
  }
  std::vector<contestant> contestants;
  contestants.reserve(chosen.commands.size());
  for (const auto& command : chosen.commands) contestants.push_back({command, {}});
  co_await measure(contestants, chosen);
  show(contestants);
  if (!chosen.export_json.empty()) write_json(contestants, chosen.export_json);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) { return brood::run(argc, argv, application); }
