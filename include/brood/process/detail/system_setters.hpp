// The setters for what a process is to the system: its rights, its place, its priority, its signals.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "brood/process/detail/launch_plan.hpp"

namespace brood::detail {

/// What can be started, as a set of bits.
enum launch_kinds : std::uint8_t { programs = 1, functions = 2, workers = 4 };
constexpr launch_kinds operator|(launch_kinds a, launch_kinds b) {
  return static_cast<launch_kinds>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

/// A new setter is a field of `launch_options` and a function here or in `launch_setters`, and what the child does with it in
/// lib/process/child_setup.cpp. What each throws where it is refused: `std::system_error` with the errno and the call, from
/// where the child is awaited.
template <class Self, launch_kinds Kind>
class system_setters {
 public:
  /// What the program finds as its own name, argv[0]; default its name as given.
  Self& arg0(std::string name) & {
    static_assert(is_for(programs), "brood: a function of this program has no argument vector of its own");
    return option(&launch_options::arg0, std::move(name));
  }
  Self&& arg0(std::string name) && { return std::move(arg0(std::move(name))); }

  /// Its user id, real, effective and saved; setresuid(2). Of another user than root it has no capabilities. Without
  /// `groups` its supplementary groups are emptied if that is permitted, so that it keeps none of root's.
  Self& uid(uid_t id) & { return option(&launch_options::user, id); }
  Self&& uid(uid_t id) && { return std::move(uid(id)); }
  /// Its group id; setresgid(2).
  Self& gid(gid_t id) & { return option(&launch_options::group, id); }
  Self&& gid(gid_t id) && { return std::move(gid(id)); }
  /// Its supplementary groups; setgroups(2).
  Self& groups(std::vector<gid_t> ids) & { return option(&launch_options::groups, std::move(ids)); }
  Self&& groups(std::vector<gid_t> ids) && { return std::move(groups(std::move(ids))); }
  /// The permissions that files it makes do not get; umask(2).
  Self& umask(mode_t mask) & { return option(&launch_options::umask, mask); }
  Self&& umask(mode_t mask) && { return std::move(umask(mask)); }
  /// Its root folder; chroot(2). A program is searched there. Its working directory is `cwd`, or `/`.
  Self& root(std::filesystem::path path) & { return option(&launch_options::root, path.string()); }
  Self&& root(std::filesystem::path path) && { return std::move(root(std::move(path))); }
  /// It and what it executes can never gain rights, by set-user-ID programs for one; PR_SET_NO_NEW_PRIVS.
  Self& no_new_privs() & { return option(&launch_options::no_new_privs, true); }
  Self&& no_new_privs() && { return std::move(no_new_privs()); }

  /// Joins the process group `id` of this session, or with 0, the default, begins one; setpgid(2). In a group of another's
  /// making it is signalled alone, and what it leaves there is not found.
  Self& process_group(pid_t id) & { return option(&launch_options::process_group, id); }
  Self&& process_group(pid_t id) && { return std::move(process_group(id)); }
  /// Begins a session, without a terminal; setsid(2). Unlike `detached` it ends with its parent.
  Self& session() & { return option(&launch_options::session, true); }
  Self&& session() && { return std::move(session()); }

  /// Niceness, -20 to 19; nice(2).
  Self& nice(int n) & { return option(&launch_options::nice, n); }
  Self&& nice(int n) && { return std::move(nice(n)); }
  /// The CPUs the child may run on; sched_setaffinity(2).
  Self& cpus(std::vector<int> which) & { return option(&launch_options::cpus, std::move(which)); }
  Self&& cpus(std::vector<int> which) && { return std::move(cpus(std::move(which))); }
  /// SCHED_BATCH, SCHED_IDLE, or with a priority SCHED_FIFO and SCHED_RR; sched_setscheduler(2).
  Self& scheduling(int policy, int priority = 0) & {
    return option(&launch_options::scheduling, launch_options::policy{policy, priority});
  }
  Self&& scheduling(int policy, int priority = 0) && { return std::move(scheduling(policy, priority)); }
  /// IOPRIO_CLASS_RT (1), _BE (2) or _IDLE (3), and the level in it, 0 to 7; ioprio_set(2).
  Self& io_priority(int what, int level = 0) & {
    return option(&launch_options::io_priority, launch_options::policy{what, level});
  }
  Self&& io_priority(int what, int level = 0) && { return std::move(io_priority(what, level)); }
  /// -1000 to 1000: how soon the kernel kills it for want of memory; proc_pid_oom_score_adj(5).
  Self& oom_score_adj(int score) & { return option(&launch_options::oom_score_adj, score); }
  Self&& oom_score_adj(int score) && { return std::move(oom_score_adj(score)); }

  /// Signals that it does not receive until it unblocks them. Default: those that this program was started with.
  Self& block_signals(std::vector<int> which) & { return option(&launch_options::blocked, std::move(which)); }
  Self&& block_signals(std::vector<int> which) && { return std::move(block_signals(std::move(which))); }
  /// Signals that it ignores, also after execve(2).
  Self& ignore_signals(std::vector<int> which) & {
    return option(&launch_options::ignored, std::move(which));
  }
  Self&& ignore_signals(std::vector<int> which) && { return std::move(ignore_signals(std::move(which))); }
  /// The signal it gets when this process dies, whatever way, instead of SIGKILL: it may end as it likes. 0: none.
  Self& parent_death_signal(int signal) & {
    static_assert(is_for(programs),
                  "brood: a function uses its parent's memory: it dies with it, or is `.detached()`");
    return option(&launch_options::death_signal, signal);
  }
  Self&& parent_death_signal(int signal) && { return std::move(parent_death_signal(signal)); }

 protected:
  launch_plan plan_;

  static constexpr bool is_for(launch_kinds kinds) { return (Kind & kinds) != 0; }
  Self& self() noexcept { return static_cast<Self&>(*this); }
  template <class Field, class Value>
  Self& option(Field launch_options::* field, Value&& value) {
    plan_.options.*field = std::forward<Value>(value);
    return self();
  }
};

}  // namespace brood::detail
