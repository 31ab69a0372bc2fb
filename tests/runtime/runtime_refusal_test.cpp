// A runtime in a process that may have few descriptors. No other runtime is made in this program, as libuv's first loop
// needs more than those after it.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <system_error>

#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/runtime/signal_watch.hpp"
#include "catch.hpp"
#include "leftovers.hpp"

namespace {

enum outcome { works, refused, other_error, left_something };

int open_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 256; ++fd) count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

outcome make_and_run() {
  try {
    brood::runtime loop;
    brood::signal_watch watch(loop, SIGUSR1, [] {});
    loop.run_until_complete(brood::sleep_for(std::chrono::milliseconds(1)));
  } catch (const std::system_error& e) {
    return e.code().value() == EMFILE ? refused : other_error;
  } catch (...) {
    return other_error;
  }
  return works;
}

/// In a process of its own, which may open so many descriptors; -1 if it did not end by itself.
int outcome_with(rlim_t room) {
  const pid_t pid = fork();
  if (pid == 0) {
    const int lowest_free = fcntl(0, F_DUPFD, 3);
    close(lowest_free);
    const rlim_t most = static_cast<rlim_t>(lowest_free) + room;
    const rlimit limit{most, most};
    setrlimit(RLIMIT_NOFILE, &limit);
    const int before = open_descriptors();
    const outcome result = make_and_run();
    // The process's pipe for signals stays with libuv.
    const int kept = open_descriptors() - before;
    _exit(kept == 0 || kept == 2 ? result : left_something);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("a runtime that gets too few descriptors says so, and leaves none open") {
  const leftovers before = leftovers::now();
  CHECK(outcome_with(0) == refused);
  rlim_t room = 1;
  while (room < 32 && outcome_with(room) == refused) ++room;
  CHECK(room > 2);
  CHECK(outcome_with(room) == works);
  CHECK(outcome_with(room + 1) == works);
  CHECK(leftovers::now() == before);
}
