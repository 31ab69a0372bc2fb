// What the user sees: a progress line while the children work, a table at the end.
#pragma once

#include <brood/brood.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "swarm/tally.hpp"

namespace swarm {

/// One line that is drawn over and over on a terminal; elsewhere a line every few seconds.
class progress_line {
 public:
  progress_line();
  ~progress_line();
  progress_line(const progress_line&) = delete;
  progress_line& operator=(const progress_line&) = delete;

  /// How long to wait between two calls of `draw`.
  std::chrono::milliseconds period() const noexcept;
  void draw(const std::string& text);

 private:
  bool terminal_;
  bool drawn_ = false;
};

struct figures {
  std::size_t children = 0;
  std::size_t peak_alive = 0;
  std::size_t died = 0;             // without having been done, by --chaos or otherwise
  std::size_t dropped = 0;          // results of a batch that another child had dealt with before
  double spawn_seconds = 0;         // until the last child waited for work
  double count_seconds = 0;         // from the first batch to the last child's end
  double memory_per_child_kib = 0;  // of the whole system
  brood::stall_statistics stalls;   // from the first spawn to the last child's end
};

/// A child that ended as it should not have.
void print_failure(const char* what);
void print_problems(const std::vector<problem>& problems);
void print_table(const tally& total, const figures& measured);

/// Memory of the system that is neither free nor file cache.
double memory_in_use_kib();

}  // namespace swarm
