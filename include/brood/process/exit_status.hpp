// How a process ended, and what it used.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "brood/coroutine/error.hpp"
#include "brood/export.hpp"

namespace brood {

/// What a process and those of its children that it waited for have used; getrusage(2).
struct resource_usage {
  std::chrono::microseconds user_time{};
  std::chrono::microseconds system_time{};
  std::uint64_t peak_memory = 0;  ///< bytes resident
  std::uint64_t minor_faults = 0;
  std::uint64_t major_faults = 0;
  std::uint64_t voluntary_switches = 0;
  std::uint64_t involuntary_switches = 0;
};

/// How a process ended.
struct exit_status {
  int exitcode = 0;  ///< as in Python: `-N` for a process that signal N ended
  int signal = 0;    ///< the signal that ended it, or 0
  bool core_dumped = false;
  bool deadline_passed = false;  ///< killed because it ran longer than its `.deadline(d)`
  bool stop_requested = false;   ///< its parent had asked it to stop
  bool stop_overran = false;     ///< killed because it had not stopped in time
  bool known = true;  ///< false: the host application reaped the child first and the kernel keeps no status;
                      ///< `exitcode` is then 255
  resource_usage usage;

  /// Whether it exited with 0, as far as one can know.
  bool success() const noexcept { return known && exitcode == 0; }
};

/// "exited with 3", "was killed by SIGKILL (9) when its deadline passed".
BROOD_API std::string describe(const exit_status& status);

/// A child ended without giving its result.
class BROOD_API child_died : public error {
 public:
  child_died(const std::string& name, int pid, const exit_status& status);
  const exit_status& status() const noexcept { return status_; }
  int pid() const noexcept { return pid_; }

 private:
  exit_status status_;
  int pid_;
};

/// An exception that was thrown in another process.
class BROOD_API remote_error : public error {
 public:
  remote_error(std::string type, const std::string& what, std::string process_name, int pid,
               std::string trace);
  /// The exception's type as written in C++, such as "std::out_of_range".
  const std::string& type() const noexcept { return type_; }
  /// Name and pid of the process it was thrown in.
  const std::string& process_name() const noexcept { return process_name_; }
  int pid() const noexcept { return pid_; }
  /// The stack at the throw, the innermost frame first, one a line: the function, if its module shows its name, and the
  /// module with an offset, as addr2line(1) takes it. Empty unless the program is linked with the library brood-traces.
  const std::string& trace() const noexcept { return trace_; }

 private:
  std::string type_;
  std::string process_name_;
  int pid_;
  std::string trace_;
};

/// A child was asked for a function that its program image does not hold.
class BROOD_API unknown_function : public error {
 public:
  using error::error;
};

}  // namespace brood
