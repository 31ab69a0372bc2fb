// Locks, semaphores, events, conditions, barriers and named memory under SIGKILL: nobody hangs, nothing is
// granted twice, no permit is lost.
#include <dirent.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "brood/sync/barrier.hpp"
#include "brood/sync/condition.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/lock.hpp"
#include "brood/sync/rlock.hpp"
#include "brood/sync/semaphore.hpp"
#include "brood/sync/shared_memory.hpp"
#include "fuzz.hpp"

using namespace brood;
using namespace std::chrono_literals;

namespace kill_fuzz {
namespace {

constexpr int workers = 5;
constexpr int turns_each = 60;

/// What the workers know of each other besides what is tested. In plain shared memory, not in the arena.
struct scoreboard {
  std::atomic<int> turn[workers];             // how far each has come
  std::atomic<std::uint8_t> inside[workers];  // cleared by the parent for the dead, before their clean-up
  std::atomic<std::uint64_t> double_grants;
  std::atomic<std::uint64_t> told;  // that the last owner died
  std::atomic<int> tokens, taken;
  std::atomic<bool> closed, stop;
  std::atomic<std::uint64_t> early;
};

scoreboard& board = *[] {
  void* where =
      ::mmap(nullptr, sizeof(scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (where == MAP_FAILED) std::abort();
  return new (where) scoreboard{};
}();

void clear_board() {
  board.~scoreboard();
  new (&board) scoreboard{};
}

/// A handle that names its object already, so that the forks share it.
template <class Handle>
Handle made(const Handle& handle) {
  return Handle(handle);
}

/// Runs a worker of each number until all ended by themselves, with new ones for those that are killed.
/// `reaped` is called after the clean-up after one that was killed. Gives how many were.
int run_workers(int count, const std::function<void(int)>& body,
                const std::function<void(int)>& reaped = {}) {
  struct worker {
    pid_t pid;
    process_id slot;
    int number;
  };
  std::vector<worker> running;
  std::uint64_t left = 10 + pick(20);
  int killed = 0;
  const auto spawn = [&](int number) {
    const fate end = left > 0 ? draw_fate() : fate{};
    const process_id slot = family_memory::reserve_slot();
    running.push_back({start(slot, end, [&] { body(number); }), slot, number});
  };
  for (int i = 0; i < count; ++i) spawn(i);
  ::alarm(round_seconds);
  while (!running.empty()) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, 0);
    std::size_t at = 0;
    while (at < running.size() && running[at].pid != pid) ++at;
    if (at == running.size()) continue;
    const worker ended = running[at];
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
    board.inside[ended.number] = 0;
    family_memory::on_death(ended.slot);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) fail("a worker crashed");
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) fail("a worker failed");
    if (!WIFSIGNALED(status)) continue;
    ++kills;
    ++killed;
    if (left > 0) --left;
    if (reaped) reaped(ended.number);
    spawn(ended.number);
  }
  ::alarm(0);
  return killed;
}

/// Holding what `permits` may hold at once.
task<> be_inside(int number, int permits) {
  board.inside[number] = 1;
  int now = 0;
  for (const auto& flag : board.inside) now += flag;
  if (now > permits) ++board.double_grants;
  if (board.turn[number] % 3 == 0) co_await yield();
  {
    const event something_with_steps = made(event());
  }
  board.inside[number] = 0;
}

void require_single_grants() {
  if (board.double_grants != 0) fail("granted to more than may have it");
}

template <class Lock>
void run_lock(const char* name, int depth) {
  current_round = name;
  clear_board();
  const accounts before;
  {
    const Lock l = made(Lock());
    run_workers(workers, [&](int number) {
      in_loop([&]() -> task<> {
        while (board.turn[number] < turns_each) {
          std::vector<typename Lock::guard> guards;
          for (int i = 0; i < depth; ++i) guards.push_back(co_await l.acquire());
          board.told += guards[0].abandoned();
          co_await be_inside(number, 1);
          guards.clear();
          ++board.turn[number];
        }
      });
    });
    require_single_grants();
    if (l.locked() || l.waiting() != 0) fail("the lock of a dead process was not released");
    if (!l.try_acquire()) fail("a free lock cannot be had");
  }
  before.require_balance();
}

/// Some wait only for so long, so that what they were granted is given back.
void run_impatient() {
  current_round = "lock, with waiters that give up";
  clear_board();
  const accounts before;
  {
    const lock l = made(lock());
    run_workers(workers, [&](int number) {
      in_loop([&]() -> task<> {
        while (board.turn[number] < turns_each) {
          try {
            const auto g = co_await with_timeout(std::chrono::microseconds(20 * number), l.acquire());
            co_await be_inside(number, 1);
          } catch (const timed_out&) {
          }
          ++board.turn[number];
        }
      });
    });
    require_single_grants();
    if (l.locked() || l.waiting() != 0) fail("the lock was not released");
  }
  before.require_balance();
}

template <class Semaphore>
void run_semaphore(const char* name) {
  current_round = name;
  clear_board();
  const accounts before;
  {
    const Semaphore s = made(Semaphore(2));
    run_workers(workers, [&](int number) {
      in_loop([&]() -> task<> {
        while (board.turn[number] < turns_each) {
          const auto p = co_await s.acquire();
          co_await be_inside(number, 2);
          ++board.turn[number];
        }
      });
    });
    require_single_grants();
    if (s.value() != 2) fail("2 permits became " + std::to_string(s.value()));
    if (s.waiting() != 0) fail("dead waiters are left");
  }
  before.require_balance();
}

/// Permits that go from process to process: those who release and those who take and keep.
void run_tokens() {
  current_round = "semaphore of tokens";
  clear_board();
  const accounts before;
  {
    const semaphore s = made(semaphore(0));
    int unsure[2] = {};  // releases, takes: killed in the middle of one
    const auto takes = [](int number) { return number % 2 == 1; };
    run_workers(
        4,
        [&](int number) {
          in_loop([&]() -> task<> {
            for (; board.turn[number] < turns_each; ++board.turn[number]) {
              if (!takes(number)) {
                s.release();
                continue;
              }
              auto p = co_await s.acquire();
              p.detach();
            }
          });
        },
        [&](int number) {
          if (board.turn[number] >= turns_each) return;
          // Whether it happened is unknown, and its successor does it again. So that nobody waits in vain for
          // one that was taken twice, there is one more.
          ++unsure[takes(number)];
          if (takes(number)) s.release();
        });
    // That nobody hung says that none was lost.
    const auto left = static_cast<int>(s.value());
    if (left > unsure[0] + unsure[1]) fail("there are permits nobody released");
  }
  before.require_balance();
}

/// One sets it, once; all others wait for it.
void run_event() {
  current_round = "event";
  clear_board();
  const accounts before;
  {
    const event e = made(event());
    run_workers(workers, [&](int number) {
      in_loop([&]() -> task<> {
        if (number == 0) {
          while (e.waiting() < pick(workers)) co_await sleep_for(100us);
          if (!e.is_set()) e.set();  // not again by the next: the first set has to be enough
        } else {
          co_await e.wait();
        }
      });
    });
    if (e.waiting() != 0) fail("dead waiters are left");
  }
  before.require_balance();
}

/// Worker 0 makes tokens under the lock and notifies one for each; the others wait for tokens.
void run_condition() {
  current_round = "condition";
  clear_board();
  const accounts before;
  int killed = 0;
  {
    const condition c = made(condition());
    const auto make_tokens = [&]() -> task<> {
      c.notify();  // for the predecessor, if it died between the token and the notification
      while (board.turn[0] < turns_each) {
        const lock_guard g = co_await c.lock().acquire();
        ++board.tokens;
        ++board.turn[0];
        c.notify();
        if (pick(3) == 0) co_await yield();
      }
      const lock_guard g = co_await c.lock().acquire();
      board.closed = true;
      c.notify_all();
    };
    const auto take_tokens = [&](int number) -> task<> {
      for (;;) {
        lock_guard g = co_await c.lock().acquire();
        const auto ready = [] { return board.tokens > 0 || board.closed; };
        co_await c.wait(g, ready);
        if (!g) fail("waited and does not hold the lock");
        board.inside[number] = 1;
        int now = 0;
        for (const auto& flag : board.inside) now += flag;
        if (now > 1) ++board.double_grants;
        const bool ended = board.tokens == 0;
        if (!ended) {
          --board.tokens;
          ++board.taken;
        }
        board.inside[number] = 0;  // before the lock is released
        if (ended) co_return;
      }
    };
    killed = run_workers(workers, [&](int number) {
      in_loop([&] { return number == 0 ? make_tokens() : take_tokens(number); });
    });
    require_single_grants();
    if (c.lock().locked() || c.waiting() != 0) fail("dead waiters or holders are left");
  }
  if (board.tokens != 0) fail("tokens were left");
  if (board.taken + killed < turns_each) fail("more tokens were lost than processes killed");
  before.require_balance();
}

/// All in lockstep. A death breaks the barrier; the parent resets it and starts a new one.
void run_barrier() {
  current_round = "barrier";
  clear_board();
  const accounts before;
  {
    const barrier b = made(barrier(workers));
    const auto walk = [&](int number) -> task<> {
      int clean = 0;  // passes since it last broke
      while (!board.stop) {
        try {
          co_await b.arrive();
          ++board.turn[number];
          // All got through as many, since the barrier was last reset and everybody started anew: so once
          // somebody has come so far, nobody waits for anybody any more.
          if (++clean == 20) {
            board.stop = true;
            b.abort();
          }
        } catch (const broken_barrier&) {
          clean = 0;
        }
        if (clean == 0 && !board.stop) co_await sleep_for(50us);
      }
    };
    run_workers(
        workers, [&](int number) { in_loop([&] { return walk(number); }); },
        [&](int) {
          b.reset();
          if (board.stop) b.abort();  // whoever stopped it may have aborted it before the reset
        });
    if (b.waiting() != 0 && !b.broken()) fail("arrivals of dead processes are left");
    if (b.participants() != workers) fail("the barrier is damaged");
  }
  before.require_balance();
}

int names_left(const std::string& prefix) {
  int count = 0;
  DIR* folder = ::opendir("/dev/shm");
  if (folder == nullptr) fail("cannot read /dev/shm");
  while (const dirent* entry = ::readdir(folder))
    count += std::strncmp(entry->d_name, prefix.c_str(), prefix.size()) == 0;
  ::closedir(folder);
  return count;
}

/// Named memory: whatever was created and not unlinked goes with the family.
void run_names() {
  current_round = "named memory";
  clear_board();
  const accounts before;
  const std::string prefix = "kill-fuzz-" + std::to_string(::getpid()) + "-";
  run_workers(3, [&](int number) {
    for (; board.turn[number] < turns_each; ++board.turn[number]) {
      const std::string name = prefix + std::to_string(number) + "-" + std::to_string(board.turn[number]);
      try {
        const shared_memory made_here = shared_memory::create(name, 100);
        if (board.turn[number] % 12 != 0) made_here.unlink();
      } catch (const std::system_error& e) {
        if (e.code().value() != EEXIST && e.code().value() != ENOENT) throw;
      }
    }
  });
  detail::unlink_names_of_family();
  if (names_left(prefix) != 0) fail("names of killed processes are left");
  before.require_balance();
}

/// The one who cleans up is killed while it does.
void run_successors() {
  current_round = "clean-up of locks";
  const accounts before;
  ::alarm(round_seconds);
  {
    const lock l = made(lock());
    const rlock r = made(rlock());
    const semaphore s = made(semaphore(3));
    const barrier b = made(barrier(2));
    const condition c = made(condition());
    const process_id slot = family_memory::reserve_slot();
    const std::uint64_t steps = 1 + pick(std::uint64_t{1} << (3 + pick(7)));
    const pid_t middle = start(slot, {}, [&] {
      const process_id inner_slot = family_memory::reserve_slot();
      const pid_t inner = start(inner_slot, {}, [&] {
        in_loop([&]() -> task<> {
          const auto g = co_await l.acquire();
          const auto h = co_await r.acquire();
          const auto p = co_await s.acquire();
          const auto q = co_await s.acquire();
          try {
            co_await with_timeout(0ms, b.arrive());
          } catch (const timed_out&) {
          }
          b.reset();
          const auto arrival = [&]() -> task<> { co_await b.arrive(); };
          const auto wait = [&]() -> task<> {
            lock_guard mine = co_await c.lock().acquire();
            co_await c.wait(mine);
          };
          const auto body = [&](nursery& n) -> task<> {
            n.start(arrival());
            n.start(wait());
            while (b.waiting() < 1 || c.waiting() < 1) co_await yield();
            ::kill(::getpid(), SIGKILL);
          };
          co_await with_nursery(body);
        });
      });
      ::waitpid(inner, nullptr, 0);
      detail::arm_kill_point(steps);
      family_memory::on_death(inner_slot);
    });
    int status = 0;
    ::waitpid(middle, &status, 0);
    if (WIFSIGNALED(status)) ++kills;
    family_memory::on_death(slot);
    while (const auto left = family_memory::next_orphan()) family_memory::on_death(left->id);
    const auto g = l.try_acquire();
    if (!g || !g->abandoned()) fail("the lock did not come back, or nobody was told");
    const auto h = r.try_acquire();
    if (!h || !h->abandoned()) fail("the rlock did not come back, or nobody was told");
    if (s.value() != 3) fail("3 permits became " + std::to_string(s.value()));
    if (!b.broken()) fail("the death of a member broke nothing");
    if (c.waiting() != 0 || c.lock().locked()) fail("a dead waiter is left");
  }
  ::alarm(0);
  before.require_balance();
}

}  // namespace

void run_sync_rounds() {
  for (int i = 0; i < 3; ++i) {
    run_lock<lock>("lock", 1);
    run_lock<rlock>("rlock", 3);
    run_impatient();
    run_semaphore<semaphore>("semaphore");
    run_semaphore<bounded_semaphore>("bounded semaphore");
    run_tokens();
    for (int n = 0; n < 5; ++n) run_event();
    run_condition();
    run_barrier();
    run_names();
  }
  for (int i = 0; i < 10; ++i) run_successors();
}

}  // namespace kill_fuzz
