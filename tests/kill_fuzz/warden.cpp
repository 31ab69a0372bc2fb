#include "warden.hpp"

#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "arena/stop_point.hpp"

namespace kill_fuzz {
namespace {

/// What all clones of the process share that mapped it before `main`. A fresh image has one of its own, without a warden.
struct watch_room {
  sem_t news;
  std::atomic<bool> watched;
  std::atomic<pid_t> stopped[32];  // processes that stop now, until the warden has seen them
  std::atomic<std::uint64_t> stops;
};

watch_room* const room = [] {
  void* where =
      ::mmap(nullptr, sizeof(watch_room), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (where == MAP_FAILED) std::abort();
  auto* made = new (where) watch_room{};
  ::sem_init(&made->news, 1, 0);
  return made;
}();

/// The letter of proc_pid_stat(5), behind the name, which cannot hold a parenthesis here; 0 if the process is gone.
char state_of(pid_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  std::FILE* file = std::fopen(path, "r");
  if (file == nullptr) return 0;
  char state = 0;
  if (std::fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 0;
  std::fclose(file);
  return state;
}

/// It says that it stops before it does. False if it was killed by others.
bool await_stop(pid_t pid) {
  for (;;) {
    const char state = state_of(pid);
    if (state == 'T') return true;
    if (state == 0 || state == 'Z' || state == 'X') return false;
    ::usleep(50);
  }
}

[[noreturn]] void watch() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::mt19937_64 random(std::random_device{}());
  for (;;) {
    while (::sem_wait(&room->news) != 0) {
    }
    for (auto& each : room->stopped) {
      const pid_t pid = each.load();
      if (pid == 0) continue;
      // Meanwhile the others come against what it holds.
      if (await_stop(pid)) {
        ::usleep(static_cast<useconds_t>(random() % 3000));
        ::kill(pid, random() % 3 == 0 ? SIGKILL : SIGCONT);
      }
      each = 0;
    }
  }
}

}  // namespace

void start_warden() {
  room->watched = true;
  if (::fork() == 0) watch();
}

void stop_here() noexcept {
  const pid_t self = ::getpid();
  if (!room->watched) ::kill(self, SIGKILL);
  for (auto& each : room->stopped) {
    pid_t nobody = 0;
    if (!each.compare_exchange_strong(nobody, self)) continue;
    ++room->stops;
    ::sem_post(&room->news);
    ::raise(SIGSTOP);
    return;
  }
}

std::uint64_t stops() noexcept { return room->stops; }

void fate::arm() const noexcept { brood::detail::arm_stop_point(steps, stops ? stop_here : nullptr); }

}  // namespace kill_fuzz
