// How a child is to be started: the setters that `spawn` and `command` share.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "brood/coroutine/detail/saturating_time.hpp"

namespace brood {

/// How a child that runs a function comes to be.
enum class start_method : std::uint8_t {
  fork_server,  ///< a copy of the fork server, as it was when `preload` had run
  exec,         ///< a fresh image of the same program
};

/// A limit for the child; setrlimit(2). Soft and hard limit both become it; the hard limit of
/// CPU time is a second more, so that SIGXCPU comes before SIGKILL. RLIM_INFINITY: none.
enum class resource : std::uint8_t {
  cpu_time = RLIMIT_CPU,     ///< seconds
  memory = RLIMIT_DATA,      ///< bytes of private memory; shared memory does not count
  files = RLIMIT_NOFILE,     ///< open descriptors
  file_size = RLIMIT_FSIZE,  ///< bytes
  stack = RLIMIT_STACK,      ///< bytes
  core = RLIMIT_CORE,        ///< bytes of core dump
  processes = RLIMIT_NPROC,  ///< of this user
};

/// Where a standard stream of a child leads.
class stdio {
 public:
  enum class kind : std::uint8_t { inherit, null, pipe, file, append, descriptor, to_stdout };

  explicit stdio(kind what) noexcept : kind_(what) {}
  /// A file: opened for reading as standard input, else created or emptied.
  stdio(std::filesystem::path path) : kind_(kind::file), path_(std::move(path)) {}
  stdio(const char* path) : stdio(std::filesystem::path(path)) {}
  stdio(const std::string& path) : stdio(std::filesystem::path(path)) {}
  /// Another descriptor of this process, which must stay open until the child has been started.
  stdio(int fd) noexcept : kind_(kind::descriptor), fd_(fd) {}

  kind what() const noexcept { return kind_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  int fd() const noexcept { return fd_; }

  static stdio appended(std::filesystem::path path) {
    stdio result(std::move(path));
    result.kind_ = kind::append;
    return result;
  }

 private:
  kind kind_;
  std::filesystem::path path_;
  int fd_ = -1;
};

/// The parent's own stream.
inline const stdio inherit{stdio::kind::inherit};
/// /dev/null.
inline const stdio null{stdio::kind::null};
/// A pipe to the parent, which reads or writes it as a `reader` or `writer`.
inline const stdio piped{stdio::kind::pipe};
/// For standard error: where standard output goes, as `2>&1` in a shell. What is written to both is in its order.
inline const stdio to_stdout{stdio::kind::to_stdout};
/// A file that is created if need be and written at its end.
inline stdio append_to(std::filesystem::path path) { return stdio::appended(std::move(path)); }

namespace detail {

/// Everything the setters set. Plain data, sent to the fork server as it is.
struct launch_options {
  struct limit {
    resource what;
    std::uint64_t value;
  };
  std::string name;                                      // empty: process-N
  std::optional<bool> daemon;                            // unset: inherited
  std::vector<std::pair<std::string, std::string>> env;  // set, after the clearing
  std::vector<std::string> unset_env;
  bool clear_env = false;
  std::string cwd;  // empty: the parent's
  std::optional<int> nice;
  std::vector<int> cpus;
  std::vector<limit> limits;
  bool detached = false;
};

/// In characters.
struct terminal_size {
  int columns = 80;
  int rows = 24;
  bool operator==(const terminal_size&) const = default;
};

/// What the parent keeps to itself.
struct launch_plan {
  launch_options options;
  std::optional<stdio> streams[3];  // unset: the default for what is launched
  std::optional<std::chrono::nanoseconds> deadline;
  std::optional<brood::start_method> method;
  std::optional<std::chrono::nanoseconds> stop_limit;
  int stop_signal = SIGTERM;
  std::optional<terminal_size> terminal;
  int group = 0;        // the process group to join, by its leader; 0: one of its own
  bool pinned = false;  // see child::unpin
};

}  // namespace detail

/// The setters. Each gives the same object back, so they chain: `spawn<f>(x).name("w1").daemon()`.
template <class Self>
class launch_setters {
 public:
  /// The child's name, for logs and errors; default `process-N`.
  Self&& name(std::string s) && {
    return set([&](auto& p) { p.options.name = std::move(s); });
  }
  /// Daemons are terminated when `run` ends, others are joined. Default: as the parent.
  Self&& daemon(bool yes = true) && {
    return set([&](auto& p) { p.options.daemon = yes; });
  }
  /// One variable of the child's environment.
  Self&& env(std::string key, std::string value) && {
    return set([&](auto& p) { p.options.env.emplace_back(std::move(key), std::move(value)); });
  }
  /// Starts from an empty environment.
  Self&& clear_env() && {
    return set([&](auto& p) { p.options.clear_env = true; });
  }
  /// The child's working directory.
  Self&& cwd(std::filesystem::path path) && {
    return set([&](auto& p) { p.options.cwd = path.string(); });
  }
  /// Where its standard input comes from: `inherit`, `null`, `piped`, a file, a descriptor. Default: `null` for a
  /// function, the parent's for a program.
  Self&& stdin_(stdio from) && {
    return set([&](auto& p) { p.streams[0] = std::move(from); });
  }
  /// Where its standard output goes; default the parent's.
  Self&& stdout_(stdio to) && {
    return set([&](auto& p) { p.streams[1] = std::move(to); });
  }
  /// Where its standard error goes; default the parent's.
  Self&& stderr_(stdio to) && {
    return set([&](auto& p) { p.streams[2] = std::move(to); });
  }
  /// Gives the child a terminal of its own (a pty) of this size: its controlling terminal, and those of its three streams that
  /// are not set otherwise. The parent's `stdin_()` types and its `stdout_()` reads what is shown; see `brood::terminal`.
  Self&& terminal(int columns = 80, int rows = 24) && {
    return set([&](auto& p) { p.terminal = detail::terminal_size{columns, rows}; });
  }
  /// Scheduling priority, -20 to 19; nice(2).
  Self&& nice(int n) && {
    return set([&](auto& p) { p.options.nice = n; });
  }
  /// The CPUs the child may run on; sched_setaffinity(2).
  Self&& cpus(std::vector<int> which) && {
    return set([&](auto& p) { p.options.cpus = std::move(which); });
  }
  /// One of its limits; see `resource` for the units.
  Self&& limit(resource what, std::uint64_t value) && {
    return set([&](auto& p) { p.options.limits.push_back({what, value}); });
  }
  /// The same for any of setrlimit(2)'s. RLIMIT_AS also counts the family's shared memory, a mapping of many
  /// GiB that costs nothing: `resource::memory` is mostly what is meant.
  Self&& limit(int rlimit, std::uint64_t value) && {
    return std::move(*this).limit(static_cast<resource>(rlimit), value);
  }
  /// Kills the child and its whole process tree when it has run for `d`; its status says so. At once if `d` is not
  /// positive; never if it is longer than the clock can say.
  template <class Rep, class Period>
  Self&& deadline(std::chrono::duration<Rep, Period> d) && {
    return set([&](auto& p) { p.deadline = detail::saturating_ceil<std::chrono::nanoseconds>(d); });
  }
  /// How long the child may take to end when it is asked to stop (its scope is cancelled, `stop`, the end of `run`), before it
  /// is killed with its whole tree; default 2 s, or what is left to a parent that is asked itself. Killed at once if `d` is
  /// not positive.
  template <class Rep, class Period>
  Self&& stop_within(std::chrono::duration<Rep, Period> d) && {
    return set([&](auto& p) { p.stop_limit = detail::saturating_ceil<std::chrono::nanoseconds>(d); });
  }
  /// The signal by which it is asked; default SIGTERM. A function that is asked by another one has a handler for it.
  Self&& stop_signal(int n) && {
    return set([&](auto& p) { p.stop_signal = n; });
  }
  /// The child survives the parent and is in a session of its own; `run` does not wait for it.
  /// Without it a child never outlives the parent, not even one killed by SIGKILL.
  Self&& detached() && {
    return set([&](auto& p) { p.options.detached = true; });
  }

 protected:
  detail::launch_plan plan_;

  template <class Change>
  Self&& set(Change change) {
    change(plan_);
    return static_cast<Self&&>(*this);
  }
};

}  // namespace brood
