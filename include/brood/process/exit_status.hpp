// How a process ended, and what it used.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

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

/// Why a process ended, as far as there is evidence for it; `unknown` where there is none.
enum class death_cause : std::uint8_t {
  unknown,
  exited,               ///< it returned, or called `exit`
  signal_from_outside,  ///< a signal that neither its parent nor the kernel sent; it may have sent it to itself
  asked,                ///< its parent asked it to stop, killed it, or sent it the signal that it died of
  deadline,             ///< its `.deadline(d)` had passed
  memory_limit,         ///< the kernel killed it: its cgroup had reached a limit
  out_of_memory,        ///< the kernel killed it for want of memory, as the counts of its cgroup say
  cpu_limit,            ///< it had used up `resource::cpu_time`
  file_size_limit,      ///< a file had reached `resource::file_size`
  crash,                ///< a fault or an abort: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS
};
/// "out of memory", "a crash".
BROOD_API std::string_view name_of(death_cause cause) noexcept;

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
  bool leftovers = false;  ///< it has left processes running that it had started, see `.leftovers()`
  death_cause why = death_cause::unknown;
  /// What a fault was about, if the program is linked with brood-traces.
  std::optional<std::uint64_t> fault_address;
  resource_usage usage;

  death_cause cause() const noexcept { return why; }
  /// Whether it exited with 0, as far as one can know.
  bool success() const noexcept { return known && exitcode == 0; }
};

/// "exited with 3", "was killed by SIGKILL (9) when its deadline passed".
BROOD_API std::string describe(const exit_status& status);

namespace detail {
struct crash_record;

/// What else is known of a child that has died.
struct death_details {
  std::string doing;
  std::string last_words;
  std::shared_ptr<const crash_record> crash;
  bool as_here = true;  // its modules lay where its parent's lie
};
}  // namespace detail

/// A child ended without giving its result.
class BROOD_API child_died : public error {
 public:
  child_died(const std::string& name, int pid, const exit_status& status, detail::death_details details = {});
  const exit_status& status() const noexcept { return status_; }
  int pid() const noexcept { return pid_; }
  death_cause cause() const noexcept { return status_.cause(); }
  /// The stack of a crash, the innermost frame first, one a line as in `remote_error::trace`, named at this call. Empty if it
  /// did not crash, or if the program is not linked with the library brood-traces.
  std::string stack() const;
  /// The last lines of its standard error, at most 4 KiB, if that was `piped`; nobody's reading misses them.
  const std::string& last_words() const noexcept;
  /// What it was at: "item 7 of area" for a pool's worker; empty for a child that had one function.
  const std::string& doing() const noexcept;

 private:
  exit_status status_;
  int pid_;
  std::shared_ptr<const detail::death_details> details_;
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
