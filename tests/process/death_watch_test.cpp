// death_watch: who has ended, with and without a descriptor to tell.
#include "process/death_watch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/runtime.hpp"
#include "catch.hpp"
#include "system/pidfd.hpp"

using namespace brood;
using namespace std::chrono_literals;
using detail::mortal;

namespace {

/// A process that waits to be killed; reaped by the test.
pid_t idle_process() {
  const pid_t pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  return pid;
}

mortal child(std::uint64_t number) { return {mortal::kind::child, number}; }

/// Counts the dead, and reaps them.
struct record {
  explicit record(runtime& loop) : watch(loop, [this](std::span<const mortal> dead) { note(dead); }) {}
  void note(std::span<const mortal> dead) {
    for (const mortal& who : dead) {
      ended.push_back(who.number);
      watch.remove_without_descriptor(who);
    }
  }
  std::vector<std::uint64_t> ended;
  detail::death_watch watch;
};

}  // namespace

TEST_CASE("a death is told by descriptor and by number, and the loop runs on meanwhile") {
  const pid_t with = idle_process();
  const pid_t without = idle_process();
  {
    runtime loop;
    record deaths(loop);
    const unique_fd pidfd = sys::open_process(with);
    REQUIRE(deaths.watch.add(pidfd.get(), child(1)));
    deaths.watch.add_without_descriptor(without, child(2));
    loop.run_until_complete([&]() -> task<> {
      for (int turn = 0; turn < 20; ++turn) co_await sleep_for(1ms);
      CHECK(deaths.ended.empty());
      kill(without, SIGKILL);
      while (deaths.ended.empty()) co_await yield();
      CHECK(deaths.ended == std::vector<std::uint64_t>{2});
      kill(with, SIGKILL);
      while (deaths.ended.size() < 2) co_await yield();
      deaths.watch.remove(pidfd.get());
      CHECK(deaths.ended == std::vector<std::uint64_t>{2, 1});
    }());
  }
  CHECK(sys::reap_by_number(with)->code == SIGKILL);
  CHECK(sys::reap_by_number(without)->code == SIGKILL);
}

TEST_CASE("who is removed is not told of, and one that is no child is told of when it is gone") {
  const pid_t stranger = idle_process();
  {
    runtime loop;
    record deaths(loop);
    deaths.watch.add_without_descriptor(stranger, child(3));
    deaths.watch.remove_without_descriptor(child(3));
    kill(stranger, SIGKILL);
    waitpid(stranger, nullptr, 0);
    deaths.watch.add_without_descriptor(stranger,
                                        {mortal::kind::orphan, 4});  // reaped: as if somebody else's
    loop.run_until_complete([&]() -> task<> {
      while (deaths.ended.empty()) co_await yield();
      CHECK(deaths.ended == std::vector<std::uint64_t>{4});
    }());
  }
}
