// What is to be done: the files of some folders, divided among children.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "swarm/tally.hpp"

namespace swarm {

struct work {
  std::vector<std::vector<std::string>>
      shares;  // one for each child; some are empty if there are fewer files
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<problem> problems;
};

/// Lists every regular file below `folders`, as `find FOLDER... -type f` does: symbolic links are not
/// followed, a folder named twice counts twice. Divides them into shares that cost about the same. Reads the
/// disk, so it is run in a child.
work divide(const std::vector<std::string>& folders, std::size_t children);

}  // namespace swarm
