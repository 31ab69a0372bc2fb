// Everything here runs in a process that has just been made and may be killed at any line: nothing is left behind but its
// slot, which the parent clears.
#include "process/child_setup.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <new>
#include <system_error>

#include "process/family.hpp"
#include "system/calls.hpp"
#include "system/pidfd.hpp"
#include "system/signals.hpp"

namespace brood::detail {
namespace {

int open_stream(int number, stream_source source, const std::string& path) {
  // Non-blocking, as the fork server waits for a program's start: a FIFO must not keep it. Cleared again below.
  const int how = (number == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC | O_NONBLOCK;
  if (source == stream_source::null) return sys::open("/dev/null", how);
  if (number == 0) return sys::open(path.c_str(), how);
  return sys::open(path.c_str(), how | O_CREAT | (source == stream_source::append ? O_APPEND : O_TRUNC),
                   0666);
}

void make_streams(const child_setup& setup, const launch_details& details) {
  auto passed = setup.streams.begin();
  for (int number = 0; number < 3; ++number) {
    const auto index = static_cast<std::size_t>(number);
    const stream_source source = setup.request.streams[index];
    if (source == stream_source::keep) continue;
    if (source == stream_source::as_stdout || source == stream_source::terminal) {
      const int same = source == stream_source::terminal ? setup.streams.back() : STDOUT_FILENO;
      require(sys::dup2(same, number) == number, stage::standard_stream);
      continue;
    }
    if (source == stream_source::passed) {
      require(sys::dup2(*passed++, number) == number, stage::standard_stream);
      continue;
    }
    const unique_fd file(open_stream(number, source, details.stream_paths[index]));
    require(file && sys::fcntl(file.get(), F_SETFL, sys::fcntl(file.get(), F_GETFL) & ~O_NONBLOCK) == 0 &&
                sys::dup2(file.get(), number) == number,
            stage::standard_stream);
  }
}

/// The limit this family was started with: the runtime raised the parent's, which programs that use select(2) do not
/// survive.
void restore_descriptor_limit() {
  const rlimit& original = family::get().descriptor_limit;
  if (original.rlim_max != 0) sys::setrlimit(RLIMIT_NOFILE, &original);
}

/// First beyond all numbers that matter, then each to its own. Gives the parent's pidfd, whose number may be one of them.
int place_descriptors(const child_setup& setup, std::vector<given_descriptor>& given) {
  if (given.empty()) return setup.parent;
  int beyond = setup.parent + 1;
  for (const auto& [number, fd] : given) beyond = std::max(beyond, number + 1);
  const auto move_up = [&](int fd) {
    const int moved = sys::fcntl(fd, F_DUPFD_CLOEXEC, beyond);
    require(moved >= 0, stage::descriptor);
    return moved;
  };
  const std::size_t behind = setup.request.terminal ? 1 : 0;
  const auto passed = setup.streams.subspan(setup.streams.size() - behind - given.size(), given.size());
  for (std::size_t i = 0; i < given.size(); ++i) given[i].fd = move_up(passed[i]);
  const int parent = move_up(setup.parent);
  for (const auto& [number, fd] : given) require(sys::dup2(fd, number) == number, stage::descriptor);
  return parent;
}

/// Those of the parent that are no longer what the fork server's are.
void adopt_limits(const launch_details& details) {
  for (const auto& [which, soft, hard] : details.limits) {
    const rlimit limit{soft, hard};
    require(sys::setrlimit(static_cast<__rlimit_resource>(which), &limit) == 0, stage::setrlimit);
  }
}

void set_limits(const launch_options& options) {
  for (const auto& [what, value] : options.limits) {
    // One second more to the hard limit of CPU time, so that SIGXCPU comes before SIGKILL, setrlimit(2).
    const rlimit limit{value, what == resource::cpu_time && value != RLIM_INFINITY ? value + 1 : value};
    require(sys::setrlimit(static_cast<__rlimit_resource>(what), &limit) == 0, stage::setrlimit);
  }
}

void set_scheduling(const launch_options& options) {
  if (options.nice) require(sys::setpriority(PRIO_PROCESS, 0, *options.nice) == 0, stage::setpriority);
  if (options.scheduling) {
    const auto [policy, priority] = *options.scheduling;
    require(sys::sched_setscheduler(0, policy, priority) == 0, stage::sched_setscheduler);
  }
  if (options.io_priority) {
    const auto [what, level] = *options.io_priority;
    require(sys::ioprio_set(what, level) == 0, stage::ioprio_set);
  }
  if (options.oom_score_adj) {
    const unique_fd file(sys::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    char text[16];
    const auto end = std::to_chars(std::begin(text), std::end(text), *options.oom_score_adj).ptr;
    require(file && sys::write(file.get(), text, static_cast<std::size_t>(end - text)) >= 0,
            stage::oom_score_adj);
  }
  if (options.cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : options.cpus) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) throw setup_failure{stage::sched_setaffinity, EINVAL};
    CPU_SET(cpu, &set);
  }
  require(sys::sched_setaffinity(0, sizeof set, &set) == 0, stage::sched_setaffinity);
}

void change_root(const launch_options& options) {
  if (!options.root.empty()) require(sys::chroot(options.root.c_str()) == 0, stage::chroot);
  const char* folder = !options.cwd.empty() ? options.cwd.c_str() : options.root.empty() ? nullptr : "/";
  if (folder != nullptr) require(sys::chdir(folder) == 0, stage::chdir);
}

/// True if these have been changed.
bool change_credentials(const launch_options& options) {
  if (!options.user && !options.group && !options.groups) return false;
  if (options.groups) {
    require(sys::setgroups(options.groups->size(), options.groups->data()) == 0, stage::setgroups);
  } else if (options.user) {
    // Root's own would be left to another user. Who may not do that has nothing to take away.
    require(sys::setgroups(0, nullptr) == 0 || errno == EPERM, stage::setgroups);
  }
  if (options.group) require(sys::setresgid(*options.group) == 0, stage::setresgid);
  if (options.user) require(sys::setresuid(*options.user) == 0, stage::setresuid);
  return true;
}

[[gnu::hot]] void tie_to_parent(const child_setup& setup, int parent, int death_signal) {
  // Raw calls: each function of the C library that a child touches costs it a page fault.
  if (setup.request.tied || setup.identity == nullptr)
    require(sys::prctl(PR_SET_PDEATHSIG, static_cast<unsigned long>(death_signal)) == 0, stage::session);
  // The parent may have died before the line above. Its pidfd tells for certain, which getppid() does not.
  if (sys::has_ended(parent)) _exit(cannot_start);
}

[[gnu::hot]] void enter_group(const child_setup& setup) {
  // A group of its own: the whole of what the child starts can be killed together, and a terminal's Ctrl-C reaches
  // the parent alone, which decides.
  // A group to join may be gone, where its leader was not this family's to keep.
  const pid_t group = setup.request.group;
  require(sys::setpgid(0, group) == 0 || (group != 0 && sys::setpgid(0, 0) == 0), stage::session);
}

}  // namespace

[[gnu::hot]] void enter_family(const child_setup& setup) {
  tie_to_parent(setup, setup.parent, SIGKILL);
  enter_group(setup);
}

void apply(const child_setup& setup, launch_details& details) {
  const launch_options& options = details.options;
  if (!options.detached) tie_to_parent(setup, setup.parent, options.death_signal);
  if (options.detached || options.session || setup.request.terminal) {
    require(sys::setsid() >= 0, stage::session);
  } else if (options.process_group) {
    require(sys::setpgid(0, *options.process_group) == 0, stage::process_group);
  } else {
    enter_group(setup);
  }
  if (setup.request.terminal)
    require(sys::ioctl(setup.streams.back(), TIOCSCTTY, nullptr) == 0, stage::terminal);
  if (options.umask) ::umask(*options.umask);
  make_streams(setup, details);
  const int parent = place_descriptors(setup, details.descriptors);
  // With the rights that it has until here.
  set_scheduling(options);
  if (setup.request.kind == launch_kind::program) restore_descriptor_limit();
  adopt_limits(details);
  set_limits(options);
  change_root(options);
  // With the credentials the kernel forgets the signal, prctl(2).
  if (change_credentials(options) && !options.detached) tie_to_parent(setup, parent, options.death_signal);
  if (options.no_new_privs) require(sys::prctl(PR_SET_NO_NEW_PRIVS, 1) == 0, stage::no_new_privs);
}

void set_signals(const child_setup& setup, const launch_options& options) {
  for (const int signal : options.ignored) require(sys::ignore_signal(signal) == 0, stage::signals);
  sigset_t mask = setup.mask;
  for (const int signal : options.blocked) require(sigaddset(&mask, signal) == 0, stage::signals);
  sys::set_signal_mask(mask);
}

void close_on_exec_from(int lowest) noexcept {
  // Linux 5.11. Where it is missing, our own descriptors are close-on-exec anyhow.
  sys::close_range(static_cast<unsigned>(lowest), ~0u, CLOSE_RANGE_CLOEXEC);
}

setup_failure current_failure() noexcept {
  try {
    throw;
  } catch (const setup_failure& failure) {
    return failure;
  } catch (const std::system_error& e) {
    return {stage::session, e.code().value()};
  } catch (const std::bad_alloc&) {
    return {stage::session, ENOMEM};
  } catch (...) {
    return {stage::decode, EBADMSG};
  }
}

void fail(spawn_slot& slot, setup_failure failure) noexcept {
  slot.error = failure.error;
  std::atomic_ref(slot.failed).store(failure.at, std::memory_order_release);
  _exit(cannot_start);
}

}  // namespace brood::detail
