// What every benchmark program shares, ours and the peers': clocks, a heap for the parent, checked system calls, and the
// one line of JSON that run.py reads.
#pragma once

#include <fmt/core.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bench {

/// A system call's result; throws `std::system_error` if it is negative.
template <class Result>
Result checked(Result result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

inline double seconds_of(clockid_t which) {
  timespec now{};
  checked(clock_gettime(which, &now), "clock_gettime");
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Seconds since the machine started; the same in every process of it.
inline double wall_clock() { return seconds_of(CLOCK_MONOTONIC); }

/// Seconds this process has computed, in all its threads and in the kernel for it.
inline double cpu_clock() { return seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

inline double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Memory of the parent that `fork` has to copy the page tables of: every page is written once.
class touched_heap {
 public:
  explicit touched_heap(std::size_t mib) : bytes_(mib << 20, std::byte{1}) {}

 private:
  std::vector<std::byte> bytes_;
};

/// KiB of system memory that is neither free nor page cache of files: what processes, and the kernel for them, occupy.
///
/// Not the fall of MemAvailable, which takes reclaimable slab for available although a living child pins its inodes
/// and dentries, so it flatters those who use descriptors. Not MemFree + Cached either: Cached holds shared memory, so
/// an arena would be free of charge. The file LRU lists hold neither. Pages that wait in the lists of the CPUs are free
/// too, hundreds of MiB on recent kernels, and MemFree does not count them.
inline double memory_in_use_kib() {
  std::ifstream info("/proc/meminfo");
  double total = 0, available = 0;
  for (std::string key, rest; info >> key;) {
    double value = 0;
    info >> value;
    std::getline(info, rest);
    if (key == "MemTotal:") total = value;
    if (key == "MemFree:" || key == "Active(file):" || key == "Inactive(file):") available += value;
  }
  const double page_kib = static_cast<double>(sysconf(_SC_PAGESIZE)) / 1024;
  std::ifstream zones("/proc/zoneinfo");
  for (std::string word; zones >> word;) {
    double pages = 0;
    if (word == "count:" && zones >> pages) available += pages * page_kib;
  }
  return total - available;
}

/// The same once the kernel has given back what earlier processes left: until it falls no more, two seconds at most.
inline double settled_memory_in_use_kib() {
  double lowest = memory_in_use_kib();
  for (int unchanged = 0, polls = 0; unchanged < 4 && polls < 40; ++polls) {
    usleep(50'000);
    const double now = memory_in_use_kib();
    unchanged = now < lowest - 256 ? 0 : unchanged + 1;
    lowest = now < lowest ? now : lowest;
  }
  return lowest;
}

/// A wrong result must never become a figure.
inline void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(std::string("wrong result: ") + what);
}

inline void require_success(int wait_status) {
  require(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0, "a child did not exit with 0");
}

inline void require_killed(int wait_status, int signal) {
  require(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == signal, "a child did not end by the signal");
}

/// The line run.py reads.
inline void report(double value) { fmt::print("{{\"value\": {:.9g}}}\n", value); }

/// A ratio of two costs in seconds, with both of them on stderr, where they help to understand it.
inline void report_ratio(double many, double few) {
  fmt::print(stderr, "{:.2f} us over {:.2f} us\n", many * 1e6, few * 1e6);
  report(many / few);
}

/// `main` of a benchmark: an exception is printed to stderr and fails it.
inline int guarded(const std::function<void()>& body) {
  try {
    body();
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}

}  // namespace bench
