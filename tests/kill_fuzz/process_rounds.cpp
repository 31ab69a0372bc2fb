// The process storey under SIGKILL and SIGSTOP: children of the fork server, while that is stopped and killed too; forks that
// they make of their own; detached children below children that end; all that while the parent goes from root to another
// user and back. Whatever ends where, in the end what they share is free and whole.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "brood/sync/lock.hpp"
#include "brood/sync/semaphore.hpp"
#include "fuzz.hpp"
#include "orphans.hpp"

using namespace brood;

namespace kill_fuzz {
namespace {

constexpr int tokens = 4;
constexpr int permits_in_all = 2;
constexpr int children_each_round = 40;
constexpr uid_t nobody = 65534;

/// What a child is told. Nothing else travels to a fresh image: it has no memory with this process but the family's.
struct errand {
  std::uint64_t seed = 0;
  fate end;
};

errand draw_errand() {
  const fate end = draw_fate();
  return {chance(), end};
}

std::chrono::microseconds some_time() { return std::chrono::microseconds(pick(3000)); }

// ---- what the application forks by itself ----

enum class fork_life { ends, exits, uses, unwinds, is_killed, outlives };

template <class F>
void expect_refused(F use) {
  try {
    use();
  } catch (const forked_process&) {
    return;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "a fork was refused otherwise: %s\n", e.what());
    ::_exit(102);
  }
  std::fprintf(stderr, "a fork was not refused\n");
  ::_exit(101);
}

[[noreturn]] void live_as_fork(fork_life life, useconds_t while_, const lock& mutex, const semaphore& permits,
                               const queue<int>& items, lock_guard& held) {
  if (life == fork_life::exits) std::exit(0);
  if (life == fork_life::is_killed || life == fork_life::outlives) ::usleep(while_);
  if (life != fork_life::ends) {
    expect_refused([&] { static_cast<void>(mutex.try_acquire()); });
    expect_refused([&] { static_cast<void>(permits.try_acquire()); });
    expect_refused([&] { static_cast<void>(items.try_get()); });
    expect_refused([&] { items.try_put(7); });
  }
  if (life == fork_life::unwinds) {
    const lock_guard moved = std::move(held);
  }
  ::_exit(0);
}

/// Holds copies of all that its parent has, and lives as long as it likes.
void fork_once(const lock& mutex, const semaphore& permits, const queue<int>& items, lock_guard& held) {
  const auto life = static_cast<fork_life>(pick(6));
  const auto while_ = static_cast<useconds_t>(pick(3000));
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid == 0) live_as_fork(life, while_, mutex, permits, items, held);
  if (life == fork_life::outlives) return;
  if (life == fork_life::is_killed) ::kill(pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
  }
  const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;  // by its inherited fate perhaps
  if (!killed && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) throw std::runtime_error("a fork failed");
}

// ---- what runs in children ----

task<uid_t> work(lock mutex, semaphore permits, queue<int> items, errand mine) {
  chance.seed(mine.seed);
  mine.end.arm();
  for (int i = 0; i < 6; ++i) {
    auto held = co_await mutex.acquire();
    if (pick(4) == 0) fork_once(mutex, permits, items, held);
    held.release();
    const auto permit = co_await permits.acquire();
    const auto item = co_await items.get_leased();
    if (pick(4) == 0) co_await yield();
  }
  co_return ::geteuid();
}

/// Leaves some behind that use what its parent made.
task<> detach_some(lock mutex, semaphore permits, queue<int> items, errand mine, int depth) {
  chance.seed(mine.seed);
  mine.end.arm();
  for (int i = 0; i < 3; ++i) {
    const errand next = draw_errand();
    try {
      if (depth > 0 && pick(3) == 0) {
        co_await spawn<detach_some>(mutex, permits, items, next, depth - 1).detached();
      } else {
        co_await spawn<work>(mutex, permits, items, next).detached();
      }
    } catch (const child_died&) {
      // It inherits how many steps are left to this process, and may die before it is ready.
    }
  }
}

// ---- what the parent does ----

/// What the processes of a round share.
struct shared_things {
  lock mutex;
  semaphore permits{permits_in_all};
  queue<int> items{tokens};

  shared_things() {
    for (int i = 0; i < tokens; ++i) items.try_put(i);
  }
  void require_whole() const {
    if (mutex.locked() || mutex.waiting() != 0) fail("the lock of a dead process was not released");
    if (permits.value() != permits_in_all) fail("permits became " + std::to_string(permits.value()));
    if (permits.waiting() != 0) fail("dead waiters are left");
    if (items.size() != tokens) fail("items became " + std::to_string(items.size()));
  }
};

int servers_killed = 0;  // in this round

task<> run_child(const shared_things& with, bool changing_user) {
  const errand what = draw_errand();
  const uid_t user = ::geteuid();
  try {
    const auto child = co_await spawn<work>(with.mutex, with.permits, with.items, what);
    const uid_t seen = co_await child.result();
    if (seen != user) fail("a child of user " + std::to_string(seen) + " instead of " + std::to_string(user));
  } catch (const child_died& e) {
    if (e.status().signal != SIGKILL) fail(std::string("a child ended otherwise: ") + e.what());
    ++kills;
  } catch (const error&) {
    // It was asked for as one user, its server was killed, and this process is another user now.
    if (servers_killed == 0 || !changing_user) throw;
  }
}

/// The fork server and its heir are stopped for a while, and killed, but not so often in a row that this is given up.
task<> torment_servers(const bool& over) {
  while (!over) {
    co_await sleep_for(some_time());
    const auto servers = detail::fork_servers().pids;
    if (servers.empty()) continue;
    const pid_t server = servers[pick(servers.size())];
    if (servers_killed < 2 && pick(8) == 0) {
      ++servers_killed;
      ++kills;
      ::kill(server, SIGKILL);
      continue;
    }
    ::kill(server, SIGSTOP);
    co_await sleep_for(some_time());
    ::kill(server, SIGCONT);
  }
}

task<> change_user(const bool& over) {
  while (!over) {
    co_await sleep_for(2 * some_time());
    if (::seteuid(::geteuid() == 0 ? nobody : 0) != 0) fail("seteuid");
  }
  if (::seteuid(0) != 0) fail("seteuid");
}

task<> start_children(const shared_things& with, bool changing_user) {
  const auto body = [&](nursery& n) -> task<> {
    for (int i = 0; i < children_each_round; ++i) {
      n.start(run_child(with, changing_user));
      if (pick(4) == 0) co_await sleep_for(some_time());
      if (pick(8) != 0) continue;
      auto held = co_await with.mutex.acquire();
      fork_once(with.mutex, with.permits, with.items, held);
    }
  };
  co_await with_nursery(body);
}

task<> run_children(bool changing_user) {
  const shared_things with;
  servers_killed = 0;
  bool over = false;
  const auto body = [&](nursery& n) -> task<> {
    n.start(torment_servers(over));
    if (changing_user) n.start(change_user(over));
    co_await start_children(with, changing_user);
    over = true;
  };
  co_await with_nursery(body);
  with.require_whole();
}

task<> run_parent_of_detached(const shared_things& with) {
  const errand what = draw_errand();
  const auto parent = co_await spawn<detach_some>(with.mutex, with.permits, with.items, what, 2);
  const auto status = co_await parent.join();
  if (status.signal == SIGKILL) ++kills;
  if (!status.success() && status.signal != SIGKILL) fail("a parent of detached children failed");
}

task<> run_detached() {
  const shared_things with;
  const auto body = [&](nursery& n) -> task<> {
    for (int i = 0; i < 6; ++i) n.start(run_parent_of_detached(with));
    co_return;
  };
  co_await with_nursery(body);
  // Their ends are noticed by this process's loop. How long they live is theirs.
  while (processes_in_use() != 1) co_await sleep_for(std::chrono::milliseconds(1));
  with.require_whole();
}

/// Forks and detached processes whose parents have ended are this process's children now.
void reap_orphans(const std::vector<pid_t>& others) {
  for (;;) {
    std::vector<pid_t> left = ::leftovers::now().children;
    std::erase_if(left, [&](pid_t each) { return std::ranges::count(others, each) != 0; });
    if (left.empty()) return;
    int status = 0;
    if (::waitpid(left.front(), &status, __WALL) < 0) continue;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) fail("an orphan crashed");
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) fail("an orphan failed");
  }
}

void nothing() {}

/// Until the fork server and an heir of it are known, which are no orphans, and what a process opens once is open.
task<> await_servers() {
  do {
    const auto child = co_await spawn<nothing>();
    co_await child.join();
  } while (detail::fork_servers().pids.size() < 2);
}

template <class F>
void run_round(const char* name, F body) {
  current_round = name;
  const orphanage orphans;
  in_loop(await_servers);
  const ::leftovers earlier = ::leftovers::now();
  const accounts before;
  ::alarm(2 * round_seconds);
  in_loop(body);
  in_loop(await_servers);
  reap_orphans(earlier.children);
  ::alarm(0);
  before.require_balance();
  if (::leftovers::now() != earlier) fail("descriptors or children are left");
}

}  // namespace

void run_process_rounds() {
  run_round("children", [] { return run_children(false); });
  run_round("detached children", [] { return run_detached(); });
}

void run_user_rounds() {
  run_round("children of changing users", [] { return run_children(true); });
}

void run_apart(const char* program, const char* rounds) {
  current_round = rounds;
  constexpr std::uint64_t kills_there = 30;
  const std::string count = std::to_string(kills_there);
  const std::string their_seed = std::to_string(chance());
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execl("/proc/self/exe", program, "--only", rounds, "--kills", count.c_str(), "--seed",
            their_seed.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("failed");
  kills += kills_there;
}

}  // namespace kill_fuzz
