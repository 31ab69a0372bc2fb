// Why a child ended, as far as there is evidence.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "brood/process/exit_status.hpp"
#include "system/memory_kills.hpp"

namespace brood::detail {

/// What the parent knows of a child beside its status.
struct evidence {
  bool asked = false;                // to stop
  bool gave_result = false;          // it had reported the end of its function
  std::uint64_t sent = 0;            // signals that its parent sent it: bit N for signal N
  bool may_die_with_server = false;  // its parent is, or was, the fork server, with which it dies
  std::optional<std::chrono::seconds> cpu_limit;
  bool file_limit = false;
  struct fault {
    int signal = 0;
    bool of_kernel = false;  // not sent by a process
  };
  std::optional<fault> crash;  // what its crash handler saw
};

/// Counts of the cgroup, and who has been explained by them.
class memory_witness {
 public:
  enum class verdict : std::uint8_t { unknown, not_it, memory_limit, out_of_memory };
  memory_witness() : last_(kills_.read()) {}
  explicit memory_witness(sys::memory_kills kills) : kills_(std::move(kills)), last_(kills_.read()) {}
  /// Of the death by SIGKILL of a process that nobody here has killed, which is the only one of the moment if `alone`.
  verdict judge(bool alone);

 private:
  sys::memory_kills kills_;
  sys::memory_kills::counts last_;
};

death_cause judge(const exit_status& status, const evidence& known, memory_witness& memory, bool alone);

}  // namespace brood::detail
