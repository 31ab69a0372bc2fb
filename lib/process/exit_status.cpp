#include "brood/process/exit_status.hpp"

#include <fmt/core.h>

#include <cstring>
#include <utility>

#include "runtime/crash_record.hpp"

namespace brood {

namespace {

std::string describe_end(const exit_status& status) {
  if (!status.known) return "ended with a status that somebody else took";
  if (status.signal == 0)
    return fmt::format("exited with {}{}", status.exitcode,
                       status.stop_requested ? " when it was asked to stop" : "");
  const char* name = sigabbrev_np(status.signal);
  return fmt::format("was killed by {}{} ({}){}{}", name != nullptr ? "SIG" : "signal",
                     name != nullptr ? name : "", status.signal, status.core_dumped ? ", core dumped" : "",
                     status.deadline_passed                     ? " when its deadline passed"
                     : status.stop_overran                      ? " as it did not stop in time"
                     : status.why == death_cause::out_of_memory ? " for want of memory"
                     : status.why == death_cause::memory_limit  ? " at its memory limit"
                     : status.stop_requested                    ? " when it was asked to stop"
                                                                : "");
}

}  // namespace

std::string describe(const exit_status& status) {
  return describe_end(status) + (status.leftovers ? ", and left processes running" : "");
}

std::string_view name_of(death_cause cause) noexcept {
  switch (cause) {
    case death_cause::exited:
      return "its own exit";
    case death_cause::signal_from_outside:
      return "a signal from outside";
    case death_cause::asked:
      return "its parent's request";
    case death_cause::deadline:
      return "its deadline";
    case death_cause::memory_limit:
      return "a memory limit";
    case death_cause::out_of_memory:
      return "want of memory";
    case death_cause::cpu_limit:
      return "its CPU limit";
    case death_cause::file_size_limit:
      return "its file-size limit";
    case death_cause::crash:
      return "a crash";
    default:
      return "an unknown cause";
  }
}

child_died::child_died(const std::string& name, int pid, const exit_status& status,
                       detail::death_details details)
    : error(fmt::format("{} (pid {}) {}{}{}", name, pid, describe(status),
                        details.doing.empty() ? "" : " at ", details.doing)),
      status_(status),
      pid_(pid),
      details_(std::make_shared<detail::death_details>(std::move(details))) {}

std::string child_died::stack() const {
  return details_->crash ? detail::describe_crash(*details_->crash, details_->as_here) : std::string();
}
const std::string& child_died::last_words() const noexcept { return details_->last_words; }
const std::string& child_died::doing() const noexcept { return details_->doing; }

remote_error::remote_error(std::string type, const std::string& what, std::string process_name, int pid,
                           std::string trace)
    : error(what),
      type_(std::move(type)),
      process_name_(std::move(process_name)),
      pid_(pid),
      trace_(std::move(trace)) {}

}  // namespace brood
