// What the setters set, until a child is started.
#pragma once

#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "brood/process/stdio.hpp"

namespace brood {

enum class resource : std::uint8_t;
enum class start_method : std::uint8_t;
enum class leftovers : std::uint8_t;

namespace detail {

/// What a child does before it runs what it is to run. Plain data, sent to the fork server as it is. One that equals the
/// default costs nothing: the child does not look at it.
struct launch_options {
  struct limit {
    resource what{};
    std::uint64_t value = 0;
    bool operator==(const limit&) const = default;
  };
  /// A class of scheduling or of disk access, and the priority or level within it.
  struct policy {
    int what = 0;
    int level = 0;
    bool operator==(const policy&) const = default;
  };
  std::vector<std::pair<std::string, std::optional<std::string>>>
      env;  // after the clearing; without a value: unset
  bool clear_env = false;
  std::string cwd;   // empty: the parent's
  std::string root;  // empty: the parent's
  std::string arg0;  // empty: the program's name
  std::optional<int> nice;
  std::vector<int> cpus;
  std::vector<limit> limits;
  std::optional<policy> scheduling;
  std::optional<policy> io_priority;
  std::optional<int> oom_score_adj;
  std::optional<std::uint32_t> user;
  std::optional<std::uint32_t> group;
  std::optional<std::vector<std::uint32_t>> groups;
  std::optional<std::uint32_t> umask;
  std::optional<int> process_group;
  bool session = false;
  bool detached = false;
  bool no_new_privs = false;
  std::vector<int> blocked;  // signals
  std::vector<int> ignored;
  int death_signal = SIGKILL;  // when the parent dies; 0: none
  bool operator==(const launch_options&) const = default;
};

/// In characters.
struct terminal_size {
  int columns = 80;
  int rows = 24;
  bool operator==(const terminal_size&) const = default;
};

/// What the parent keeps to itself, and what travels in another way.
struct launch_plan {
  std::string name;            // empty: process-N
  std::optional<bool> daemon;  // unset: inherited
  launch_options options;
  std::optional<stdio> streams[3];               // unset: the default for what is launched
  std::vector<std::pair<int, int>> descriptors;  // the child's number, ours
  std::optional<std::chrono::nanoseconds> deadline;
  std::optional<brood::start_method> method;
  std::optional<std::chrono::nanoseconds> stop_limit;
  int stop_signal = SIGTERM;
  std::optional<terminal_size> terminal;
  int group = 0;        // the process group to join, by its leader; 0: one of its own
  bool pinned = false;  // see child::unpin
  std::optional<brood::leftovers> leftovers;  // unset: killed in a scope, reported outside
};

}  // namespace detail
}  // namespace brood
