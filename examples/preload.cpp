// preload [--children N]: a table of 1 GiB that is loaded once, and read by a thousand children.
//
// The fork server loads it before it makes the first child, so every child finds it in its memory. It lies in a shared
// mapping, which a fork does not copy the page tables of: they would be 2 MiB for each child, and with huge pages no less,
// as the kernel keeps the small tables in store for them. So a child pays, 4 KiB a time, for the regions of 2 MiB that it
// reads from. It is write-protected once it is loaded: nobody can change it for the others.
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
  void* place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  auto* entries = static_cast<std::uint64_t*>(place);
  for (std::size_t i = 0; i < bytes / sizeof *entries; ++i) entries[i] = entry(i);
  if (mprotect(place, bytes, PROT_READ) != 0)
    throw std::system_error(errno, std::generic_category(), "mprotect");
  table = {entries, bytes / sizeof *entries};
}

/// What the child of this number, of so many, reads: a share of its own from end to end, and some entries anywhere.
struct reading {
  std::uint64_t number;
  std::uint64_t of;
  int lookups;
};

/// The sum of what is to be read, of a table with `size` entries that `at` gives.
template <class At>
std::uint64_t sum_of(const reading& todo, std::size_t size, At at) {
  std::uint64_t sum = 0;
  for (std::size_t i = size * todo.number / todo.of; i < size * (todo.number + 1) / todo.of; ++i)
    sum += at(i);
  for (int i = 0; i < todo.lookups; ++i)
    sum += at(entry(todo.number ^ entry(static_cast<std::uint64_t>(i))) % size);
  return sum;
}

/// Reads; says so, and stays until the parent has looked at it.
std::uint64_t look_up(reading todo) {
  const std::uint64_t sum = sum_of(todo, table.size(), [](std::size_t i) { return table[i]; });
  char byte = '!';
  static_cast<void>(!write(STDOUT_FILENO, &byte, 1));
  static_cast<void>(!read(STDIN_FILENO, &byte, 1));
  return sum;
}

std::uint64_t expected_sum(const reading& todo) {
  return sum_of(todo, table_bytes() / sizeof(std::uint64_t), [](std::size_t i) { return entry(i); });
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
  const reading nothing{0, table_bytes(), 0};
  auto first = co_await brood::spawn<look_up>(nothing).stdin_(brood::null).stdout_(brood::null);
  co_await first.result();  // the servers are there, and have loaded the table
  const memory before = memory_of_family();

  const auto begin = brood::clock::now();
  std::vector<brood::process<std::uint64_t>> children;
  std::size_t arrived = 0;
  for (int i = 0; i < number; ++i) {
    const reading todo{static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(number), lookups};
    children.push_back(co_await brood::spawn<look_up>(todo)
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
    const std::uint64_t sum = co_await children[i].result();
    if (sum != expected_sum({i, children.size(), lookups})) ++wrong;
  }
  const double pages = (after.proportional - before.proportional) / 1024;
  const double tables = (after.page_tables - before.page_tables) / 1024;
  fmt::print("table                      {:8.0f} MiB, loaded once\n",
             static_cast<double>(table_bytes()) / 1048576);
  fmt::print("children alive             {:8}, started in {:.2f} s, every entry and {} each read, {} wrong\n",
             number, time.count(), lookups, wrong);
  fmt::print("memory before              {:8.1f} MiB\n", before.proportional / 1024);
  fmt::print("added by all children      {:8.1f} MiB of pages, {:.1f} MiB of page tables\n", pages, tables);
  fmt::print("added by each              {:8.1f} KiB\n", (pages + tables) * 1024 / number);
  co_return wrong == 0 ? 0 : 1;
}

brood::task<int> application(std::vector<std::string> command_line) {
  int children = 1000;
  int lookups = 16;
  CLI::App arguments(
      "Loads a table of 1 GiB once (PRELOAD_MIB says how many MiB) and lets children read from it.");
  arguments.add_option("--children", children, "how many")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  arguments.add_option("--lookups", lookups, "how many entries each reads beside its share")
      ->check(CLI::Range(0, 100'000'000))
      ->capture_default_str();
  try {
    std::vector<std::string> words(command_line.rbegin(),
                                   command_line.rend() - 1);  // CLI11 wants them backwards
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
