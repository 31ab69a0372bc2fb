// preload [--children N]: a table of 1 GiB that is loaded once, and read by a thousand children.
//
// The fork server loads it before it makes the first child, so every child finds it in its memory, shared copy-on-write.
// In pages of 2 MiB, if the system gives them: a page table for 4 KiB pages is 2 MiB for each child, as much as 16
// children of this program need.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <span>
#include <system_error>

#include "brood/brood.hpp"

namespace {

using namespace std::chrono_literals;

constexpr std::size_t huge_page = std::size_t{2} << 20;

/// What stands in the table at `i`; splitmix64.
constexpr std::uint64_t entry(std::uint64_t i) {
  std::uint64_t z = (i + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::span<const std::uint64_t> table;  // set in the fork server, and so in every child

std::size_t table_bytes() {
  const char* mib = std::getenv("PRELOAD_MIB");
  return (mib != nullptr ? std::stoull(mib) : 1024) << 20;
}

void load_table() {
  const std::size_t bytes = table_bytes();
  void* place = std::aligned_alloc(huge_page, bytes);
  if (place == nullptr) throw std::bad_alloc();
  madvise(place, bytes, MADV_HUGEPAGE);
  auto* entries = static_cast<std::uint64_t*>(place);
  for (std::size_t i = 0; i < bytes / sizeof *entries; ++i) entries[i] = entry(i);
  table = {entries, bytes / sizeof *entries};
}

/// Looks `lookups` entries up, all over the table; says so, and stays until the parent has looked at it.
std::uint64_t look_up(std::uint64_t seed, int lookups) {
  std::uint64_t sum = 0;
  for (int i = 0; i < lookups; ++i) sum += table[entry(seed + static_cast<std::uint64_t>(i)) % table.size()];
  char byte = '!';
  static_cast<void>(!write(STDOUT_FILENO, &byte, 1));
  static_cast<void>(!read(STDIN_FILENO, &byte, 1));
  return sum;
}

std::uint64_t expected_sum(std::uint64_t seed, int lookups) {
  std::uint64_t sum = 0;
  const std::size_t size = table_bytes() / sizeof(std::uint64_t);
  for (int i = 0; i < lookups; ++i) sum += entry(entry(seed + static_cast<std::uint64_t>(i)) % size);
  return sum;
}

struct memory {
  double proportional = 0;  // KiB of pages, those shared by n processes counted as 1/n in each; proc(5), Pss
  double page_tables = 0;   // KiB

  memory& operator+=(const memory& other) {
    proportional += other.proportional;
    page_tables += other.page_tables;
    return *this;
  }
};

double value_in(const std::string& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string word; in >> word;) {
    double value = 0;
    if (word == key && in >> value) return value;
  }
  return 0;
}

memory memory_of(pid_t pid) {
  const std::string folder = fmt::format("/proc/{}/", pid);
  return {value_in(folder + "smaps_rollup", "Pss:"), value_in(folder + "status", "VmPTE:")};
}

/// Of this process and everything below it: the fork servers and the children.
memory memory_of_family() {
  memory all = memory_of(getpid());
  std::ifstream children(fmt::format("/proc/self/task/{}/children", getpid()));
  for (pid_t child; children >> child;) all += memory_of(child);
  return all;
}

struct pipe_ends {
  brood::unique_fd read_end;
  brood::unique_fd write_end;

  pipe_ends() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
    read_end = brood::unique_fd(ends[0]);
    write_end = brood::unique_fd(ends[1]);
  }
};

brood::task<int> share(int number, int lookups) {
  pipe_ends line;
  pipe_ends told;
  brood::writer start(std::move(line.write_end));
  brood::reader steps(std::move(told.read_end));
  auto first = co_await brood::spawn<look_up>(std::uint64_t{0}, 0).stdin_(brood::null).stdout_(brood::null);
  co_await first.result();  // the servers are there, and have loaded the table
  const memory before = memory_of_family();

  const auto begin = brood::clock::now();
  std::vector<brood::process<std::uint64_t>> children;
  std::size_t arrived = 0;
  for (int i = 0; i < number; ++i) {
    children.push_back(co_await brood::spawn<look_up>(static_cast<std::uint64_t>(i), lookups)
                           .daemon()
                           .stdin_(line.read_end.get())
                           .stdout_(told.write_end.get()));
  }
  while (arrived < children.size()) arrived += (co_await steps.read()).size();
  const std::chrono::duration<double> time = brood::clock::now() - begin;
  const memory after = memory_of_family();

  int wrong = 0;
  for (std::size_t i = 0; i < children.size(); ++i) {
    co_await start.write("!");
    co_await brood::yield();
  }
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (co_await children[i].result() != expected_sum(i, lookups)) ++wrong;
  }
  const double pages = (after.proportional - before.proportional) / 1024;
  const double tables = (after.page_tables - before.page_tables) / 1024;
  fmt::print("table                      {:8.0f} MiB, loaded once\n", static_cast<double>(table_bytes()) / 1048576);
  fmt::print("children alive             {:8}, started in {:.2f} s, {} lookups each, {} wrong\n", number, time.count(),
             lookups, wrong);
  fmt::print("memory before              {:8.1f} MiB\n", before.proportional / 1024);
  fmt::print("added by all children      {:8.1f} MiB of pages, {:.1f} MiB of page tables\n", pages, tables);
  fmt::print("added by each              {:8.1f} KiB\n", (pages + tables) * 1024 / number);
  co_return wrong == 0 ? 0 : 1;
}

brood::task<int> application(std::vector<std::string> command_line) {
  int children = 1000;
  int lookups = 10'000;
  CLI::App arguments("Loads a table of 1 GiB once (PRELOAD_MIB says how many MiB) and lets children read from it.");
  arguments.add_option("--children", children, "how many")->check(CLI::Range(1, 100'000))->capture_default_str();
  arguments.add_option("--lookups", lookups, "how many entries each reads")->check(CLI::Range(0, 100'000'000))->capture_default_str();
  try {
    std::vector<std::string> words(command_line.rbegin(), command_line.rend() - 1);  // CLI11 wants them backwards
    arguments.parse(words);
  } catch (const CLI::ParseError& e) {
    co_return arguments.exit(e);
  }
  co_return co_await share(children, lookups);
}

}  // namespace

int main(int argc, char** argv) {
  brood::options settings;
  settings.preload = load_table;
  return brood::run(argc, argv, settings, application);
}
