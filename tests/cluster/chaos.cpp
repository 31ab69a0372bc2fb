// The program that chaos.py torments: a host, or a client that gives COUNT tasks and writes what became of them.
//
// Each task is an id, and has a file of that name in FOLDER. A run of it locks the file (flock: the lock goes with the
// process, however it ends), writes a line into it, and stays for a while. A run that finds the file locked runs beside
// another one, and says so in its line.
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "brood/cluster/run.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/system/unique_fd.hpp"

namespace {

constexpr int kills_itself = 97;  // ids that kill their worker each time: one in so many

void note(int file, const std::string& line) {
  if (write(file, line.data(), line.size()) < 0) std::abort();
}

/// The folder, the id, and for how many milliseconds.
using item = std::tuple<std::string, int, int>;

int work(item what) {
  const auto& [folder, id, milliseconds] = what;
  const std::string name = folder + "/" + std::to_string(id);
  const brood::unique_fd file(::open(name.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!file) throw std::runtime_error("open " + name);
  const bool alone = flock(file.get(), LOCK_EX | LOCK_NB) == 0;
  note(file.get(), alone ? "runs\n" : "overlaps\n");
  if (id % kills_itself == 5) ::raise(SIGKILL);
  usleep(static_cast<useconds_t>(milliseconds) * 1000);
  return id;
}

/// One line: how many results, how many ended their worker, how many else, how many ids came twice, and the sum.
brood::task<int> client(std::vector<std::string> words) {
  const std::string folder = words[4];
  const int count = std::atoi(words[5].c_str());
  const int milliseconds = std::atoi(words[6].c_str());
  const std::chrono::milliseconds lease(std::atoi(words[7].c_str()));
  const auto chunk = static_cast<std::uint64_t>(std::atoi(words[8].c_str()));
  auto cluster = co_await brood::cluster::connect(words[1], brood::cluster::key_from_file(words[2]))
                     .name(words[3])
                     .lease(lease)
                     .require(brood::cluster::durability::always);
  std::vector<item> items;
  for (int id = 0; id < count; ++id) items.emplace_back(folder, id, milliseconds);
  const brood::cluster::pool pool(cluster);
  auto running = pool.imap_unordered_collect<work>(items);
  auto results = std::move(running).chunk(chunk).window(items.size()).retries(3).host_losses(20).results();
  std::set<int> seen;
  int died = 0, other = 0, twice = 0;
  long sum = 0;
  while (auto next = co_await results.next()) {
    if (next->has_value()) {
      sum += next->value();
      twice += seen.insert(next->value()).second ? 0 : 1;
      continue;
    }
    try {
      std::rethrow_exception(next->error());
    } catch (const brood::child_died&) {
      ++died;
    } catch (const std::exception& e) {
      fmt::print(stderr, "an outcome: {}\n", e.what());
      ++other;
    }
  }
  fmt::print("{} {} {} {} {}\n", seen.size(), died, other, twice, sum);
  co_await cluster.close();
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) { return brood::cluster::run(argc, argv, client); }
