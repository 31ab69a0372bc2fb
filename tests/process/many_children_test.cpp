// Ten thousand children at once, a hundred thousand one after the other.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "bodies.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

namespace {

int square(int x) { return x * x; }

brood::task<brood::process<void>> start_waiting_child() { co_return co_await brood::spawn<wait_for_ever>(); }

/// Bytes of memory of a process that are its own.
std::size_t memory_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  std::size_t shared = 0;
  file >> total >> resident >> shared;
  return (resident - shared) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::size_t descriptors_of(pid_t pid) {
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

brood::task<> spawn_one_after_the_other(int count) {
  for (int i = 0; i < count; ++i) {
    auto child = co_await brood::spawn<square>(i % 1000);
    if (co_await child.result() != (i % 1000) * (i % 1000)) throw std::logic_error("a wrong result");
  }
}

}  // namespace

TEST_CASE("ten thousand children alive at once under twenty thousand descriptors, all joined, no zombie") {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit limit = before;
  limit.rlim_cur = std::min<rlim_t>(before.rlim_max, 20'000);
  setrlimit(RLIMIT_NOFILE, &limit);
  const int count = std::min(sanitized                        ? 2000
                             : every_child_is_a_fresh_image() ? 500
                                                              : 10'000,
                             static_cast<int>(limit.rlim_cur) - 100);
  run_clean([&]() -> brood::task<> {
    std::vector<brood::process<void>> children;
    while (static_cast<int>(children.size()) < count) {
      std::vector<brood::task<brood::process<void>>> starts;
      for (int i = 0; i < 500; ++i) starts.push_back(start_waiting_child());
      for (auto& child : co_await brood::when_all(std::move(starts))) children.push_back(std::move(child));
    }
    CHECK(brood::active_children().size() == children.size());
    const auto alive =
        std::count_if(children.begin(), children.end(), [](const auto& c) { return c.is_alive(); });
    CHECK(static_cast<std::size_t>(alive) == children.size());
    for (const auto& child : children) child.terminate();
    std::size_t terminated = 0;
    for (const auto& child : children) terminated += (co_await child.join()).exitcode == -SIGTERM;
    CHECK(terminated == children.size());
    CHECK(brood::active_children().empty());
  });
  CHECK(leftovers::now().children.empty());
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_CASE("a hundred thousand spawns leave descriptors and memory as they were", "[.long]") {
  const int count = many(100'000);
  const pid_t self = getpid();
  run_clean([&]() -> brood::task<> {
    auto spawn_all = [](int total) -> brood::task<> {
      std::vector<brood::task<>> lanes;
      for (int i = 0; i < 16; ++i) lanes.push_back(spawn_one_after_the_other(total / 16));
      co_await brood::when_all(std::move(lanes));
    };
    co_await spawn_all(count / 20);  // buffers and tables have their sizes
    const pid_t server = brood::fork_server_pid();
    const std::size_t descriptors[] = {descriptors_of(self), descriptors_of(server)};
    const std::size_t memory[] = {memory_of(self), memory_of(server)};
    co_await spawn_all(count);
    CHECK(brood::fork_server_pid() == server);
    CHECK(descriptors_of(self) == descriptors[0]);
    CHECK(descriptors_of(server) <= descriptors[1] + 1);  // it may just be closing the last child's
    CHECK(memory_of(self) < memory[0] + (std::size_t{1} << 20));
    CHECK(memory_of(server) < memory[1] + (std::size_t{1} << 20));
  });
}
