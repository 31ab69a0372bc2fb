// What there is to know of files: how many bytes, lines and words, and a hash of each.
#pragma once

#include <array>
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

/// The SHA-256 of the sorted digests, in hexadecimal: the same whoever read which file, and in whatever
/// order.
std::string combined(std::vector<digest> digests);

/// What a child tells while it works, on its standard output.
struct step {
  std::uint64_t arrived = 0;  // at the start line
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};

/// What each child runs: waits at the start line, its standard input, for a byte, then counts the files of
/// its share. Lines and words are those of `wc` in the C locale. What cannot be read is a problem in the
/// result.
tally count_share(const std::vector<std::string>& paths);

/// Once in the fork server: loads the cryptographic library for all children.
void load_library();

}  // namespace swarm
