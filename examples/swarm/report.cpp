#include "swarm/report.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace swarm {
namespace {

/// 1234567 as "1,234,567".
std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t end = text.size(); end > 3; end -= 3) text.insert(end - 3, 1, ',');
  return text;
}

void row(const char* name, const std::string& value) { fmt::print("{:<22}{:>18}\n", name, value); }

}  // namespace

progress_line::progress_line() : terminal_(isatty(STDERR_FILENO) == 1) {}

progress_line::~progress_line() {
  if (terminal_ && drawn_) fmt::print(stderr, "\r\033[K");
}

std::chrono::milliseconds progress_line::period() const noexcept {
  return std::chrono::milliseconds(terminal_ ? 100 : 3000);
}

void progress_line::draw(const std::string& text) {
  drawn_ = true;
  fmt::print(stderr, "{}{}{}", terminal_ ? "\r\033[K" : "", text, terminal_ ? "" : "\n");
  std::fflush(stderr);
}

void print_failure(const char* what) { fmt::print(stderr, "{}\n", what); }

void print_problems(const std::vector<problem>& problems) {
  constexpr std::size_t most = 20;
  for (std::size_t i = 0; i < problems.size() && i < most; ++i) {
    fmt::print(stderr, "not counted: {}: {}\n", problems[i].path, problems[i].what);
  }
  if (problems.size() > most) fmt::print(stderr, "not counted: {} more\n", problems.size() - most);
}

void print_table(const tally& total, const figures& measured) {
  const auto milliseconds = [](std::uint64_t nanoseconds) {
    return fmt::format("{:.2f} ms", static_cast<double>(nanoseconds) / 1e6);
  };
  row("files", grouped(total.files));
  row("bytes", grouped(total.bytes));
  row("lines", grouped(total.lines));
  row("words", grouped(total.words));
  row("not counted", grouped(total.problems.size()));
  row("children", grouped(measured.children));
  row("peak children alive", grouped(measured.peak_alive));
  row("children that died", grouped(measured.died));
  row("results dropped", grouped(measured.dropped));
  row("spawns per second",
      fmt::format("{:.0f}", static_cast<double>(measured.children) / measured.spawn_seconds));
  row("memory per child", fmt::format("{:.0f} KiB", measured.memory_per_child_kib));
  row("longest loop stall", milliseconds(measured.stalls.longest));
  row("p99 loop stall", milliseconds(measured.stalls.p99));
  row("time to spawn", fmt::format("{:.2f} s", measured.spawn_seconds));
  row("time to count", fmt::format("{:.2f} s", measured.count_seconds));
  fmt::print("sha256 of sha256s     {}\n", combined(total.digests));
}

double memory_in_use_kib() {
  // Not the fall of MemAvailable: that takes for available what a living child pins.
  std::ifstream info("/proc/meminfo");
  double total = 0, available = 0;
  for (std::string key, rest; info >> key;) {
    double value = 0;
    info >> value;
    std::getline(info, rest);
    if (key == "MemTotal:") total = value;
    if (key == "MemFree:" || key == "Active(file):" || key == "Inactive(file):") available += value;
  }
  // Free pages that wait in the lists of the CPUs are not in MemFree.
  const double page_kib = static_cast<double>(sysconf(_SC_PAGESIZE)) / 1024;
  std::ifstream zones("/proc/zoneinfo");
  for (std::string word; zones >> word;) {
    double pages = 0;
    if (word == "count:" && zones >> pages) available += pages * page_kib;
  }
  return total - available;
}

}  // namespace swarm
