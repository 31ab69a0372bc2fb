// The cluster on one machine: a redis-server and hosts of its own, with one worker for each processor in all. The engine
// writes its file every second, as that of each peer does.
#include <CLI/CLI.hpp>
#include <brood/brood.hpp>
#include <brood/cluster/run.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <vector>

#include "measure.hpp"

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct options {
  int count = 100'000;
  int hosts = 2;
  int workers = 1;  // of each host
};

unsigned square(unsigned x) { return x * x; }
/// Tells who runs it, and ends only with its host the first time.
unsigned stay_the_first_time(std::string folder) {
  std::error_code none;
  if (!std::filesystem::create_directory(folder + "/first", none)) return 1;
  std::ofstream(folder + "/agent.part") << getppid();
  std::filesystem::rename(folder + "/agent.part", folder + "/agent");
  for (;;) pause();
}

/// An engine and hosts, which end with this process, and a folder that `remove` removes.
class test_cluster {
 public:
  explicit test_cluster(milliseconds lease) : lease_(lease) {
    std::string pattern = std::filesystem::temp_directory_path() / "brood-bench-XXXXXX";
    bench::require(mkdtemp(pattern.data()) != nullptr, "no folder for temporary files");
    folder_ = pattern;
    std::ofstream(folder_ + "/key") << "the key of a benchmark";
    std::filesystem::permissions(folder_ + "/key", std::filesystem::perms(0600));
  }
  ~test_cluster() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  test_cluster(const test_cluster&) = delete;
  test_cluster& operator=(const test_cluster&) = delete;

  const std::string& folder() const { return folder_; }
  std::string socket() const { return folder_ + "/socket"; }

  brood::task<> start_engine() {
    auto engine = brood::command("redis-server", "--port", "0", "--unixsocket", socket(), "--dir", folder_,
                                 "--save", "", "--appendonly", "yes", "--appendfsync", "everysec");
    running_.push_back(co_await std::move(engine).stdout_(brood::null).daemon().spawn());
  }
  brood::task<> start_host(int workers) {
    auto host = brood::command("/proc/self/exe", "--brood-join", "unix:" + socket(), "--brood-key",
                               folder_ + "/key", "--brood-lease", std::to_string(lease_.count()),
                               "--brood-workers", std::to_string(workers));
    running_.push_back(co_await std::move(host).daemon().spawn());
  }
  brood::task<brood::cluster::client> connect() {
    co_return co_await brood::cluster::connect("unix:" + socket(),
                                               brood::cluster::key_from_file(folder_ + "/key"))
        .lease(lease_);
  }
  /// Requests that the engine has had from outside of its functions.
  brood::task<double> requests() {
    const auto said = co_await brood::command("redis-cli", "-s", socket(), "info", "commandstats").output();
    double sum = 0;
    for (const std::string name : {"cmdstat_fcall:calls=", "cmdstat_xread:calls=", "cmdstat_xtrim:calls="}) {
      const std::size_t at = said.out.find(name);
      if (at != std::string::npos) sum += std::atof(said.out.c_str() + at + name.size());
    }
    bench::require(sum > 0, "the engine's own count");
    co_return sum;
  }

 private:
  milliseconds lease_;
  std::string folder_;
  std::vector<brood::program> running_;
};

/// Calls `body(client, pool, cluster)` when the hosts are there and have run something.
template <class Body>
brood::task<double> with_cluster(options chosen, milliseconds lease, Body body) {
  test_cluster on(lease);
  co_await on.start_engine();
  for (int i = 0; i < chosen.hosts; ++i) co_await on.start_host(chosen.workers);
  const auto client = co_await on.connect();
  co_await client.require_hosts(static_cast<std::size_t>(chosen.hosts), seconds(30));
  const brood::cluster::pool pool(client);
  std::vector<unsigned> some(1000, 3);
  auto warming = pool.map<square>(some);
  co_await std::move(warming).chunk(10);
  const double result = co_await body(client, pool, on);
  co_await client.close();
  co_return result;
}

std::vector<unsigned> numbers(int count) {
  std::vector<unsigned> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0u);
  return all;
}

/// Tasks a second.
brood::task<double> map(options chosen) {
  auto body = [&](brood::cluster::client, brood::cluster::pool pool, test_cluster&) -> brood::task<double> {
    const auto items = numbers(chosen.count);
    const double begin = bench::wall_clock();
    const auto results = co_await pool.map<square>(items);
    const double elapsed = bench::wall_clock() - begin;
    bench::require(results.size() == items.size(), "number of results");
    for (unsigned i = 0; i < results.size(); ++i) bench::require(results[i] == i * i, "a result");
    co_return chosen.count / elapsed;
  };
  co_return co_await with_cluster(chosen, seconds(10), body);
}

/// One by one: tasks a second, and with `requests` what the engine was asked for a thousand of them.
brood::task<double> imap(options chosen, bool requests) {
  auto body = [&](brood::cluster::client, brood::cluster::pool pool,
                  test_cluster& on) -> brood::task<double> {
    const auto items = numbers(chosen.count);
    const double asked = requests ? co_await on.requests() : 0;
    const double begin = bench::wall_clock();
    auto results = pool.imap<square>(items).results();
    for (unsigned i = 0; auto next = co_await results.next(); ++i) bench::require(*next == i * i, "a result");
    const double elapsed = bench::wall_clock() - begin;
    if (requests) co_return (co_await on.requests() - asked) / chosen.count * 1000;
    co_return chosen.count / elapsed;
  };
  co_return co_await with_cluster(chosen, seconds(10), body);
}

/// Prints the milliseconds of a call, as two ids.
brood::task<double> apply(options chosen) {
  auto body = [&](brood::cluster::client, brood::cluster::pool pool, test_cluster&) -> brood::task<double> {
    std::vector<double> times;
    for (unsigned i = 0; i < static_cast<unsigned>(chosen.count); ++i) {
      const double begin = bench::wall_clock();
      const unsigned result = co_await pool.apply<square>(i);
      times.push_back((bench::wall_clock() - begin) * 1e3);
      bench::require(result == i * i, "a result");
    }
    std::sort(times.begin(), times.end());
    fmt::print("{{\"cluster.apply.p50\": {:.9g}, \"cluster.apply.p99\": {:.9g}}}\n", times[times.size() / 2],
               times[times.size() * 99 / 100]);
    co_return 0;
  };
  co_return co_await with_cluster(chosen, seconds(10), body);
}

/// Items a second, put and got by the hundred, at once, by two members.
brood::task<double> put_get_many(options chosen) {
  auto body = [&](brood::cluster::client client, brood::cluster::pool,
                  test_cluster& on) -> brood::task<double> {
    const auto items = numbers(chosen.count);
    const auto other = co_await on.connect();
    const double begin = bench::wall_clock();
    co_await brood::with_nursery([&](brood::nursery& n) -> brood::task<> {
      n.start([](brood::cluster::queue<unsigned> into, const std::vector<unsigned>& all) -> brood::task<> {
        co_await into.put_many(all);
      }(client.queue<unsigned>("q"), items));
      auto q = other.queue<unsigned>("q");
      for (unsigned next = 0; next < items.size();) {
        const auto some = co_await q.get_many(256);
        for (const unsigned each : some) bench::require(each == next++, "an item in its order");
      }
    });
    const double elapsed = bench::wall_clock() - begin;
    co_await other.close();
    co_return chosen.count / elapsed;
  };
  co_return co_await with_cluster(chosen, seconds(10), body);
}

/// Seconds from the death of a host to the result of what it ran, in leases of a second.
brood::task<double> recovery(options chosen) {
  auto body = [&](brood::cluster::client, brood::cluster::pool pool,
                  test_cluster& on) -> brood::task<double> {
    auto running = pool.submit<stay_the_first_time>(on.folder());
    const std::string file = on.folder() + "/agent";
    while (!std::filesystem::exists(file)) co_await brood::sleep_for(milliseconds(1));
    pid_t agent = 0;
    std::ifstream(file) >> agent;
    const double begin = bench::wall_clock();
    bench::checked(::kill(agent, SIGKILL), "kill");
    const unsigned result = co_await running;
    bench::require(result == 1, "the second run's result");
    co_return bench::wall_clock() - begin;
  };
  co_return co_await with_cluster(chosen, seconds(1), body);
}

}  // namespace

int main(int argc, char** argv) {
  int code = 0;
  if (brood::cluster::detail::run_host(argc, argv, {}, code)) return code;
  CLI::App app("brood's cluster");
  app.require_subcommand(1);
  app.fallthrough();
  options chosen;
  app.add_option("--count", chosen.count, "tasks, or items");
  app.add_option("--hosts", chosen.hosts);
  app.add_option("--workers", chosen.workers, "of each host");
  CLI::App& in_chunks = *app.add_subcommand("map", "map with its default chunk: tasks a second");
  CLI::App& one_by_one = *app.add_subcommand("imap", "imap, one by one: tasks a second");
  CLI::App& requests = *app.add_subcommand("requests", "imap: what the engine is asked for 1,000 tasks");
  CLI::App& calls = *app.add_subcommand("apply", "milliseconds of one call, p50 and p99");
  CLI::App& queue = *app.add_subcommand("queue", "put_many and get_many: items a second");
  CLI::App& death =
      *app.add_subcommand("recovery", "seconds until a killed host's task has run elsewhere; leases of 1 s");
  CLI11_PARSE(app, argc, argv);

  const auto measure = [&]() -> brood::task<> {
    double value = 0;
    if (in_chunks) value = co_await map(chosen);
    if (one_by_one) value = co_await imap(chosen, false);
    if (requests) value = co_await imap(chosen, true);
    if (calls) {
      co_await apply(chosen);
      co_return;
    }
    if (queue) value = co_await put_get_many(chosen);
    if (death) value = co_await recovery(chosen);
    bench::report(value);
  };
  return brood::run(argc, argv, measure);
}
