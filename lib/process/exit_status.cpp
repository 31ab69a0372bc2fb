#include "brood/process/exit_status.hpp"

#include <fmt/core.h>

#include <cstring>

namespace brood {

std::string describe(const exit_status& status) {
  if (!status.known) return "ended with a status that somebody else took";
  if (status.signal == 0)
    return fmt::format("exited with {}{}", status.exitcode,
                       status.stop_requested ? " when it was asked to stop" : "");
  const char* name = sigabbrev_np(status.signal);
  return fmt::format("was killed by {}{} ({}){}{}", name != nullptr ? "SIG" : "signal",
                     name != nullptr ? name : "", status.signal, status.core_dumped ? ", core dumped" : "",
                     status.deadline_passed  ? " when its deadline passed"
                     : status.stop_overran   ? " as it did not stop in time"
                     : status.stop_requested ? " when it was asked to stop"
                                             : "");
}

child_died::child_died(const std::string& name, int pid, const exit_status& status)
    : error(fmt::format("{} (pid {}) {}", name, pid, describe(status))), status_(status), pid_(pid) {}

remote_error::remote_error(std::string type, const std::string& what, std::string process_name, int pid,
                           std::string trace)
    : error(what),
      type_(std::move(type)),
      process_name_(std::move(process_name)),
      pid_(pid),
      trace_(std::move(trace)) {}

}  // namespace brood
