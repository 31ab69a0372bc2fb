// What is to be done: the files of some folders, in batches for the children.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "swarm/tally.hpp"

namespace swarm {

struct work {
  std::vector<batch> batches;  // the largest first, each at the place of its index
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<problem> problems;
};

/// Lists every regular file below `folders`, as `find FOLDER... -type f` does: symbolic links are not
/// followed, a folder named twice counts twice. Reads the disk, so it is run in a child.
work divide(const std::vector<std::string>& folders);

}  // namespace swarm
