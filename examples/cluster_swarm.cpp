// The swarm's files, counted by the hosts of a cluster: each sees the same folders, as on a shared file system. The same
// program is the application and the hosts; `./dev demo --hosts N` starts an engine and all of them on this machine.
#include <fmt/core.h>
#include <brood/cluster/run.hpp>

#include <string>
#include <vector>

#include "swarm/tally.hpp"
#include "swarm/work.hpp"

namespace {

swarm::tally count(std::vector<std::string> paths) { return swarm::count_files(paths); }

brood::task<int> application(std::vector<std::string> words) {
  if (words.size() < 4) {
    fmt::print(stderr, "usage: {} ADDRESS KEYFILE FOLDER...\n", words[0]);
    co_return 2;
  }
  auto cluster = co_await brood::cluster::connect(words[1], brood::cluster::key_from_file(words[2]))
                     .lease(std::chrono::seconds(2));
  co_await cluster.require_hosts(1, std::chrono::minutes(1));

  const std::vector<std::string> folders(words.begin() + 3, words.end());
  auto divider = co_await brood::spawn<swarm::divide>(folders);
  auto work = co_await divider.result();
  std::vector<std::vector<std::string>> batches;
  for (auto& each : work.batches) batches.push_back(std::move(each.paths));

  swarm::tally total;
  auto counted = brood::cluster::pool(cluster)
                     .imap_unordered<count>(batches)
                     .window(batches.size() + 1)
                     .retries(10)
                     .host_losses(100)
                     .results();
  for (std::size_t done = 0; auto part = co_await counted.next();) {
    swarm::merge(total, std::move(*part));
    if (++done % 100 == 0) fmt::print(stderr, "{} of {} batches\n", done, batches.size());
  }
  fmt::print("files    {}\nbytes    {}\nlines    {}\nwords    {}\nproblems {}\nSHA-256  {}\n", total.files,
             total.bytes, total.lines, total.words, total.problems.size(), swarm::combined(total.digests));
  co_await cluster.close();
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) { return brood::cluster::run(argc, argv, application); }
