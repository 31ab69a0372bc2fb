// How a child is to be started: the setters that `spawn`, `command` and `pool::open` share.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/process/detail/launch_plan.hpp"
#include "brood/process/detail/system_setters.hpp"
#include "brood/process/stdio.hpp"

namespace brood {

/// How a child that runs a function comes to be.
enum class start_method : std::uint8_t {
  fork_server,  ///< a copy of the fork server, as it was when `preload` had run
  exec,         ///< a fresh image of the same program
};

/// What becomes of processes that a child has started and that are there when it has ended.
enum class leftovers : std::uint8_t {
  kill,    ///< they are killed
  report,  ///< `exit_status::leftovers` says that there are some; they are killed when `run` ends
  allow,   ///< nobody looks
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

/// The setters. Each gives the same object back, so they chain, on a temporary and on one that has a name:
/// `spawn<f>(x).name("w1").daemon()`, `c.cwd("/").nice(5)`. A setter that cannot work for what is started does not compile.
/// Those of system_setters.hpp are setters too.
template <class Self, detail::launch_kinds Kind>
class launch_setters : public detail::system_setters<Self, Kind> {
  using base = detail::system_setters<Self, Kind>;

 public:
  /// The child's name, for logs and errors; default `process-N`, or the program's.
  Self& name(std::string s) & {
    static_assert(is_for(detail::programs | detail::functions), "brood: a pool names its workers");
    plan_.name = std::move(s);
    return self();
  }
  Self&& name(std::string s) && { return std::move(name(std::move(s))); }

  /// Daemons are terminated when `run` ends, others are joined. Default: as the parent.
  Self& daemon(bool yes = true) & {
    static_assert(is_for(detail::programs | detail::functions), "brood: a pool ends its workers");
    plan_.daemon = yes;
    return self();
  }
  Self&& daemon(bool yes = true) && { return std::move(daemon(yes)); }

  /// One variable of the child's environment.
  Self& env(std::string key, std::string value) & {
    plan_.options.env.emplace_back(std::move(key), std::move(value));
    return self();
  }
  Self&& env(std::string key, std::string value) && {
    return std::move(env(std::move(key), std::move(value)));
  }

  /// Several of them: any range of pairs of strings, a map for one.
  template <class Variables>
  Self& env(const Variables& variables) & {
    for (const auto& [key, value] : variables) env(std::string(key), std::string(value));
    return self();
  }
  template <class Variables>
  Self&& env(const Variables& variables) && {
    return std::move(env(variables));
  }
  Self& env(std::initializer_list<std::pair<std::string, std::string>> variables) & {
    for (const auto& [key, value] : variables) env(key, value);
    return self();
  }
  Self&& env(std::initializer_list<std::pair<std::string, std::string>> variables) && {
    return std::move(env(variables));
  }

  /// Takes one variable from the child's environment. The last of `env` and `unset_env` for a name counts.
  Self& unset_env(std::string key) & {
    plan_.options.env.emplace_back(std::move(key), std::nullopt);
    return self();
  }
  Self&& unset_env(std::string key) && { return std::move(unset_env(std::move(key))); }

  /// Starts from an empty environment, to which the other setters add.
  Self& clear_env() & { return option(&detail::launch_options::clear_env, true); }
  Self&& clear_env() && { return std::move(clear_env()); }

  /// The child's working directory; with `root`, a path below that.
  Self& cwd(std::filesystem::path path) & { return option(&detail::launch_options::cwd, path.string()); }
  Self&& cwd(std::filesystem::path path) && { return std::move(cwd(std::move(path))); }

  /// Where its standard input comes from: `inherit`, `null`, `piped`, a file, a descriptor. Default: `null` for a
  /// function, the parent's for a program.
  Self& stdin_(stdio from) & { return stream(0, std::move(from)); }
  Self&& stdin_(stdio from) && { return std::move(stdin_(std::move(from))); }
  /// Where its standard output goes; default the parent's.
  Self& stdout_(stdio to) & { return stream(1, std::move(to)); }
  Self&& stdout_(stdio to) && { return std::move(stdout_(std::move(to))); }
  /// Where its standard error goes; default the parent's.
  Self& stderr_(stdio to) & { return stream(2, std::move(to)); }
  Self&& stderr_(stdio to) && { return std::move(stderr_(std::move(to))); }

  /// Gives the child a terminal of its own (a pty) of this size: its controlling terminal, and those of its three streams that
  /// are not set otherwise. The parent's `stdin_()` types and its `stdout_()` reads what is shown; see `brood::terminal`.
  Self& terminal(int columns = 80, int rows = 24) & {
    static_assert(is_for(detail::programs | detail::functions), "brood: a pool's workers have no terminals");
    plan_.terminal = detail::terminal_size{columns, rows};
    return self();
  }
  Self&& terminal(int columns = 80, int rows = 24) && { return std::move(terminal(columns, rows)); }

  /// The child has the open descriptor `own` of this process under the number `number`, 3 or more. It is copied when the
  /// child is asked for. For programs.
  Self& fd(int number, int own) & {
    static_assert(is_for(detail::programs),
                  "brood: a function gets descriptors as arguments: brood::shared_fd");
    plan_.descriptors.emplace_back(number, own);
    return self();
  }
  Self&& fd(int number, int own) && { return std::move(fd(number, own)); }

  /// One of its limits; see `resource` for the units.
  Self& limit(resource what, std::uint64_t value) & {
    plan_.options.limits.push_back({what, value});
    return self();
  }
  Self&& limit(resource what, std::uint64_t value) && { return std::move(limit(what, value)); }
  /// The same for any of setrlimit(2)'s. RLIMIT_AS also counts the family's shared memory, a mapping of many
  /// GiB that costs nothing: `resource::memory` is mostly what is meant.
  Self& limit(int rlimit, std::uint64_t value) & { return limit(static_cast<resource>(rlimit), value); }
  Self&& limit(int rlimit, std::uint64_t value) && { return std::move(limit(rlimit, value)); }

  /// Kills the child and its whole process tree when it has run for `d`; its status says so. At once if `d` is not
  /// positive; never if it is longer than the clock can say.
  template <class Rep, class Period>
  Self& deadline(std::chrono::duration<Rep, Period> d) & {
    static_assert(is_for(detail::programs | detail::functions),
                  "brood: a pool's tasks have deadlines, not its workers");
    plan_.deadline = detail::saturating_ceil<std::chrono::nanoseconds>(d);
    return self();
  }
  template <class Rep, class Period>
  Self&& deadline(std::chrono::duration<Rep, Period> d) && {
    return std::move(deadline(d));
  }

  /// How long the child may take to end when it is asked to stop (its scope is cancelled, `stop`, the end of `run`), before it
  /// is killed with its whole tree; default 2 s, or what is left to a parent that is asked itself. Killed at once if `d` is
  /// not positive.
  template <class Rep, class Period>
  Self& stop_within(std::chrono::duration<Rep, Period> d) & {
    static_assert(is_for(detail::programs | detail::functions), "brood: a pool stops its workers");
    plan_.stop_limit = detail::saturating_ceil<std::chrono::nanoseconds>(d);
    return self();
  }
  template <class Rep, class Period>
  Self&& stop_within(std::chrono::duration<Rep, Period> d) && {
    return std::move(stop_within(d));
  }
  /// The signal by which it is asked; default SIGTERM. A program's whole process group gets it. A function that is asked by
  /// another one has a handler for it.
  Self& stop_signal(int n) & {
    static_assert(is_for(detail::programs | detail::functions), "brood: a pool stops its workers");
    plan_.stop_signal = n;
    return self();
  }
  Self&& stop_signal(int n) && { return std::move(stop_signal(n)); }

  /// What becomes of what it leaves running. Default: `kill` in a nursery, otherwise `report`; `kill` in any case when it
  /// is asked to stop, or killed as its time is over. docs/failure.md says what is found.
  Self& leftovers(brood::leftovers what) & {
    static_assert(is_for(detail::programs | detail::functions),
                  "brood: a pool kills its workers with their trees");
    plan_.leftovers = what;
    return self();
  }
  Self&& leftovers(brood::leftovers what) && { return std::move(leftovers(what)); }

  /// The child survives the parent and is in a session of its own; `run` does not wait for it.
  /// Without it a child never outlives the parent, not even one killed by SIGKILL.
  Self& detached() & {
    static_assert(is_for(detail::programs | detail::functions),
                  "brood: a pool's workers end with their pool");
    return option(&detail::launch_options::detached, true);
  }
  Self&& detached() && { return std::move(detached()); }

 protected:
  using base::is_for;
  using base::option;
  using base::plan_;
  using base::self;

 private:
  Self& stream(std::size_t number, stdio what) {
    static_assert(is_for(detail::programs | detail::functions),
                  "brood: a pool's workers share the parent's streams");
    plan_.streams[number] = std::move(what);
    return self();
  }
};

}  // namespace brood
