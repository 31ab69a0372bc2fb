// Bare system calls that make processes: fork, posix_spawn, pidfd with epoll. The limits of what any library can do.
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <climits>
#include <new>
#include <thread>

#include "../measure.hpp"

extern char** environ;

namespace {

using bench::checked;

pid_t fork_empty_function() {
  const pid_t pid = checked(fork(), "fork");
  if (pid == 0) _exit(0);
  return pid;
}

struct program_starter {
  std::string path;
  pid_t operator()() const {
    char* const arguments[] = {const_cast<char*>(path.c_str()), nullptr};
    pid_t pid = 0;
    if (const int error = posix_spawn(&pid, path.c_str(), nullptr, nullptr, arguments, environ)) {
      throw std::system_error(error, std::generic_category(), "posix_spawn");
    }
    return pid;
  }
};

/// Starts `count` children with at most `in_flight` alive; the next one as soon as one has ended.
template <class Start>
void start_and_reap(int count, int in_flight, Start start) {
  int alive = 0;
  const auto reap = [&](int options) {
    int status = 0;
    if (checked(waitpid(-1, &status, options), "waitpid") == 0) return false;
    bench::require_success(status);
    --alive;
    return true;
  };
  for (int started = 0; started < count; ++started) {
    if (alive == in_flight) {
      reap(0);
      while (alive > 0 && reap(WNOHANG)) {
      }
    }
    start();
    ++alive;
  }
  while (alive > 0) reap(0);
}

/// Children a second. With `every_core` as many processes as there are cores do a share each: the machine's limit.
template <class Start>
double rate(int count, int in_flight, bool every_core, Start start) {
  const int makers = every_core ? static_cast<int>(std::thread::hardware_concurrency()) : 1;
  const double begin = bench::wall_clock();
  if (makers == 1) {
    start_and_reap(count, in_flight, start);
  } else {
    start_and_reap(makers, makers, [&] {
      const pid_t maker = checked(fork(), "fork");
      if (maker == 0) {
        _exit(bench::guarded([&] { start_and_reap(count / makers, in_flight, start); }));
      }
    });
  }
  return count / makers * makers / (bench::wall_clock() - begin);
}

/// Children that count themselves in shared memory and then pause.
class idle_children {
 public:
  idle_children()
      : running_(new(mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<int>(0)) {}
  idle_children(const idle_children&) = delete;
  idle_children& operator=(const idle_children&) = delete;
  ~idle_children() {
    for (const pid_t pid : pids) kill(pid, SIGKILL);
  }

  /// Returns when all of them run.
  void start(int count) {
    const int all = running_->load() + count;
    for (int i = 0; i < count; ++i) {
      const pid_t pid = checked(fork(), "fork");
      if (pid == 0) {
        if (running_->fetch_add(1) + 1 == all)
          syscall(SYS_futex, running_, FUTEX_WAKE, 1, nullptr, nullptr, 0);
        for (;;) pause();
      }
      pids.push_back(pid);
    }
    for (int now = running_->load(); now != all; now = running_->load()) {
      syscall(SYS_futex, running_, FUTEX_WAIT, now, nullptr, nullptr, 0);
    }
  }

  void end_all() {
    for (const pid_t pid : pids) checked(kill(pid, SIGTERM), "kill");
    for (; !pids.empty(); pids.pop_back()) {
      int status = 0;
      checked(waitpid(pids.back(), &status, 0), "waitpid");
      bench::require_killed(status, SIGTERM);
    }
  }

  std::vector<pid_t> pids;

 private:
  std::atomic<int>* running_;
};

double seconds_until_all_run(int count) {
  idle_children children;
  const double begin = bench::wall_clock();
  children.start(count);
  const double elapsed = bench::wall_clock() - begin;
  children.end_all();
  return elapsed;
}

double memory_per_child(int count) {
  idle_children children;
  const double before = bench::settled_memory_in_use_kib();
  children.start(count);
  const double after = bench::settled_memory_in_use_kib();
  children.end_all();
  return (after - before) / count;
}

/// CPU seconds of this process for one exit among `alive` children: from the end of the child to its status.
double exit_cost(int alive, int exits, bool by_pidfd) {
  idle_children children;
  children.start(alive + exits);
  const int watched = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  std::vector<int> pidfds;
  if (by_pidfd) {
    for (const pid_t pid : children.pids) {
      const int pidfd = static_cast<int>(checked(syscall(SYS_pidfd_open, pid, 0), "pidfd_open"));
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = pidfd;
      checked(epoll_ctl(watched, EPOLL_CTL_ADD, pidfd, &event), "epoll_ctl");
      pidfds.push_back(pidfd);
    }
  }
  std::vector<double> costs;
  for (int i = 0; i < exits; ++i) {
    // The middle of the list: neither the kernel's first nor its last.
    const auto victim = children.pids.begin() + static_cast<std::ptrdiff_t>(children.pids.size() / 2);
    checked(kill(*victim, SIGTERM), "kill");
    const double begin = bench::cpu_clock();
    pid_t ended = 0;
    int status = 0;
    epoll_event event{};
    if (by_pidfd) {
      checked(epoll_wait(watched, &event, 1, -1), "epoll_wait");
      siginfo_t info{};
      checked(waitid(P_PIDFD, static_cast<id_t>(event.data.fd), &info, WEXITED), "waitid");
      checked(close(event.data.fd), "close");
      ended = info.si_pid;
      status = info.si_status;
    } else {
      ended = checked(waitpid(-1, &status, 0), "waitpid");
    }
    costs.push_back(bench::cpu_clock() - begin);
    bench::require(ended == *victim && (by_pidfd ? status : WTERMSIG(status)) == SIGTERM,
                   "another child ended");
    children.pids.erase(victim);
    if (by_pidfd) std::erase(pidfds, event.data.fd);
  }
  children.end_all();
  for (const int pidfd : pidfds) close(pidfd);
  close(watched);
  return bench::median(costs);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("bare system calls that make processes");
  app.require_subcommand(1);
  app.fallthrough();
  int count = 1000;
  int in_flight = 1;
  std::size_t heap_mib = 0;
  bool every_core = false;
  app.add_option("--count", count, "children");
  app.add_option("--in-flight", in_flight, "how many may be alive at once");
  app.add_option("--heap-mib", heap_mib, "touched memory of the parent");
  app.add_flag("--every-core", every_core, "one starting process a core");
  int exits = 100;
  bool by_pidfd = false;
  std::string program = "/bin/true";

  CLI::App& fork_rate = *app.add_subcommand("fork", "children that run an empty function, a second");
  CLI::App& spawn_rate = *app.add_subcommand("posix-spawn", "programs, a second");
  spawn_rate.add_option("--program", program, "what to start");
  CLI::App& live = *app.add_subcommand("live", "seconds until all forked children run");
  CLI::App& memory = *app.add_subcommand("memory", "KiB of system memory for each living forked child");
  CLI::App& ratio =
      *app.add_subcommand("exit-cost-ratio", "cost of an exit among `count` children over one in 100");
  ratio.add_option("--exits", exits, "how many exits to average");
  ratio.add_flag("--pidfd", by_pidfd, "wait by pidfd in an epoll set, not by waitpid(-1)");
  CLI11_PARSE(app, argc, argv);

  return bench::guarded([&] {
    const bench::touched_heap heap(heap_mib);
    if (fork_rate) bench::report(rate(count, in_flight, every_core, fork_empty_function));
    if (spawn_rate) bench::report(rate(count, in_flight, every_core, program_starter{program}));
    if (live) bench::report(seconds_until_all_run(count));
    if (memory) bench::report(memory_per_child(count));
    if (ratio) {
      const double among_few = exit_cost(100, exits, by_pidfd);
      const double among_many = exit_cost(count, exits, by_pidfd);
      bench::report_ratio(among_many, among_few);
    }
  });
}
