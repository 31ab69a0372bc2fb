// Counts the primes below a number, on all hosts of a cluster. The same program is the application and the hosts:
//
//   head -c 32 /dev/urandom | base64 > key; chmod 600 key
//   cluster_map --brood-join tcp:10.0.0.1:6379 --brood-key key        on each host
//   cluster_map tcp:10.0.0.1:6379 key 10000000                        anywhere
#include <fmt/core.h>
#include <brood/cluster/run.hpp>

#include <cstdlib>
#include <numeric>
#include <vector>

namespace {

constexpr int stretch = 10'000;

bool is_prime(long n) {
  if (n < 2) return false;
  for (long d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return true;
}

int count_primes(long first) {
  int count = 0;
  for (long n = first; n < first + stretch; ++n) count += is_prime(n) ? 1 : 0;
  return count;
}

brood::task<int> application(std::vector<std::string> words) {
  if (words.size() != 4) {
    fmt::print(stderr, "usage: {} ADDRESS KEYFILE NUMBER\n", words[0]);
    co_return 2;
  }
  auto cluster = co_await brood::cluster::connect(words[1], brood::cluster::key_from_file(words[2]));
  co_await cluster.require_hosts(1, std::chrono::minutes(1));

  std::vector<long> firsts;
  for (long n = 0; n < std::atol(words[3].c_str()); n += stretch) firsts.push_back(n);
  const brood::cluster::pool pool(cluster);
  const auto counts = co_await pool.map<count_primes>(firsts).retries(2).progress(
      [](std::uint64_t done, std::uint64_t total) { fmt::print(stderr, "\r{} of {}", done, total); });

  fmt::print(stderr, "\r");
  fmt::print("{} primes\n", std::accumulate(counts.begin(), counts.end(), 0L));
  co_await cluster.close();
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) { return brood::cluster::run(argc, argv, application); }
