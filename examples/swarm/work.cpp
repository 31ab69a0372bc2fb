#include "swarm/work.hpp"

#include <fts.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <system_error>

namespace swarm {
namespace {

/// Opening a file costs about as much as reading this many bytes.
constexpr std::uint64_t cost_of_opening = 16 * 1024;
/// Smaller batches cost messages, larger ones are many for the last child to end with.
constexpr std::uint64_t cost_of_batch = 256 * 1024;

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

/// The largest first: no division among children that each take the next one when they are free takes longer than the
/// best by more than a third (R. L. Graham, "Bounds on multiprocessing timing anomalies", 1969).
std::vector<batch> make_batches(std::vector<listed_file> files) {
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.size > b.size; });
  std::vector<batch> batches;
  std::uint64_t cost = cost_of_batch;
  for (listed_file& file : files) {
    if (cost >= cost_of_batch) {
      batches.push_back({batches.size(), {}});
      cost = 0;
    }
    batches.back().paths.push_back(std::move(file.path));
    cost += file.size + cost_of_opening;
  }
  return batches;
}

}  // namespace

work divide(const std::vector<std::string>& folders) {
  listing found;
  for (const std::string& folder : folders) found.add(folder);
  work result;
  result.files = found.files.size();
  for (const listed_file& file : found.files) result.bytes += file.size;
  result.batches = make_batches(std::move(found.files));
  result.problems = std::move(found.problems);
  return result;
}

}  // namespace swarm
