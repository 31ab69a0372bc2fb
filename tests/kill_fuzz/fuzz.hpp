// What the scenarios of the kill fuzz share: chance, workers that end or stop at a random step, and how a finding is
// reported.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "arena_use.hpp"
#include "brood/arena/detail/kill_point.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/runtime/runtime.hpp"
#include "warden.hpp"

#ifndef BROOD_KILL_FUZZ
#error "build with -DBROOD_KILL_FUZZ"
#endif

namespace kill_fuzz {

inline constexpr unsigned round_seconds = 30;

inline std::mt19937_64 chance;
inline std::uint64_t seed = 1;
inline std::uint64_t kills = 0;
inline const char* current_round = "";

inline std::uint64_t pick(std::uint64_t below) { return chance() % below; }

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "kill_fuzz: %s: %s (seed %llu, after %llu kills)\n", current_round, what.c_str(),
               static_cast<unsigned long long>(seed), static_cast<unsigned long long>(kills));
  std::_Exit(1);
}

template <class F>
void in_loop(F body) {
  brood::runtime loop;
  loop.run_until_complete(body());
}

/// A fork with a place in the family's memory that runs `body` and meets its fate meanwhile.
template <class F>
pid_t start(brood::process_id slot, fate end, F body) {
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  int code = 0;
  try {
    end.arm();
    brood::family_memory::adopt_slot(slot);
    body();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "worker: %s\n", e.what());
    code = 1;
  }
  ::_exit(code);
}

/// From the first instructions to the whole life.
inline fate draw_fate() {
  if (pick(4) == 0) return {};
  const std::uint64_t scale = std::uint64_t{1} << (3 + pick(12));
  return {1 + pick(scale), pick(4) == 0};
}

/// What the arena held when a round began, and must hold when it ends.
class accounts {
 public:
  void require_balance() const {
    const auto now = blocks_in_use();
    const auto count = [](const std::vector<std::uint64_t>& blocks) {
      return std::to_string(std::accumulate(blocks.begin(), blocks.end(), std::uint64_t{0}));
    };
    if (now != before_) {
      fail("the arena's accounts do not balance: " + count(before_) + " blocks before, " + count(now) +
           " after");
    }
    if (processes_in_use() != 1) fail("slots of dead processes are left");
  }

 private:
  std::vector<std::uint64_t> before_ = blocks_in_use();
};

/// A pool whose workers are killed while it maps.
void run_pool_round();
/// A round of every kind of lock, semaphore, event, condition, barrier and named memory.
void run_sync_rounds();
/// Children of the fork server, that, forks of the application's own, and detached children.
void run_process_rounds();
/// The same while root becomes another user and root again. Needs root.
void run_user_rounds();
/// One of these in a family of its own. After them the fork server may be a fresh image, which shares no scoreboard.
void run_apart(const char* program, const char* rounds);

}  // namespace kill_fuzz
