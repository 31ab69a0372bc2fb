#include "swarm/work.hpp"

#include <fts.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <queue>
#include <stdexcept>
#include <system_error>

namespace swarm {
namespace {

/// Opening a file costs about as much as reading this many bytes.
constexpr std::uint64_t cost_of_opening = 16 * 1024;

struct listed_file {
  std::string path;
  std::uint64_t size;
};

class listing {
 public:
  std::vector<listed_file> files;
  std::vector<problem> problems;

  void add(const std::string& folder) {
    std::string root = folder;
    char* roots[] = {root.data(), nullptr};
    const std::unique_ptr<FTS, int (*)(FTS*)> walk(fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, nullptr),
                                                   fts_close);
    if (!walk) throw std::system_error(errno, std::generic_category(), "fts_open");
    while (FTSENT* entry = fts_read(walk.get())) add(*entry);
  }

 private:
  void add(const FTSENT& entry) {
    switch (entry.fts_info) {
      case FTS_F:
        files.push_back({entry.fts_path, static_cast<std::uint64_t>(entry.fts_statp->st_size)});
        break;
      case FTS_DNR:
      case FTS_ERR:
      case FTS_NS:
        problems.push_back({entry.fts_path, std::strerror(entry.fts_errno)});
        break;
      case FTS_SL:
        if (entry.fts_level == FTS_ROOTLEVEL) problems.push_back({entry.fts_path, "is a symbolic link"});
        break;
      default:
        break;
    }
  }
};

/// The largest first, each to whoever has the least: no share exceeds the best division by more than a third
/// (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969).
std::vector<std::vector<std::string>> share_out(std::vector<listed_file> files, std::size_t children) {
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.size > b.size; });
  using load = std::pair<std::uint64_t, std::size_t>;  // cost so far, whose
  std::priority_queue<load, std::vector<load>, std::greater<>> loads;
  for (std::size_t i = 0; i < children; ++i) loads.emplace(0, i);
  std::vector<std::vector<std::string>> shares(children);
  for (listed_file& file : files) {
    const auto [cost, child] = loads.top();
    loads.pop();
    loads.emplace(cost + file.size + cost_of_opening, child);
    shares[child].push_back(std::move(file.path));
  }
  return shares;
}

}  // namespace

work divide(const std::vector<std::string>& folders, std::size_t children) {
  listing found;
  for (const std::string& folder : folders) found.add(folder);
  work result;
  result.files = found.files.size();
  for (const listed_file& file : found.files) result.bytes += file.size;
  result.shares = share_out(std::move(found.files), children);
  result.problems = std::move(found.problems);
  return result;
}

}  // namespace swarm
