// What there is to know of files: how many bytes, lines and words, and a hash of each.
#pragma once

#include <array>
#include <brood/brood.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace swarm {

using digest = std::array<std::uint8_t, 32>;  // SHA-256

/// A file or folder that could not be read.
struct problem {
  std::string path;
  std::string what;
};

struct tally {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t lines = 0;
  std::uint64_t words = 0;
  std::vector<digest> digests;
  std::vector<problem> problems;
};

void merge(tally& into, tally&& from);

/// The SHA-256 of the sorted digests, in hexadecimal: the same whoever read which file, and in whatever order.
std::string combined(std::vector<digest> digests);

/// Files that a child counts at a time.
struct batch {
  std::uint64_t index = 0;
  std::vector<std::string> paths;
};

/// What it found in them.
struct batch_result {
  std::uint64_t index = 0;
  tally found;
};

/// What is in these files. What cannot be read is a problem in the result.
tally count_files(const std::vector<std::string>& paths);

/// What each child runs: takes batches until there are no more. A batch is on lease until its result is in the other
/// queue, so that it goes to another child if this one dies. Lines and words are those of `wc` in the C locale. What
/// cannot be read is a problem in the result.
brood::task<> count_batches(brood::queue<batch> todo, brood::queue<batch_result> results);

}  // namespace swarm
