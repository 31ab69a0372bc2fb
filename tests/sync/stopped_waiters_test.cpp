// Waking processes that are stopped, when no descriptor is left: the loop of the waker goes on, and all are
// woken.
#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <vector>

#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "brood/sync/event.hpp"
#include "catch.hpp"
#include "child.hpp"
#include "memory.hpp"
#include "shared_page.hpp"

using namespace brood;
using test::in_loop;
using test::made;
using test::memory;

namespace {

// More than fit in the buffer of one socket, which holds 278 datagrams of one byte.
constexpr int processes = 500;

/// Processes that wait for an event and are stopped.
class stopped_waiters {
 public:
  explicit stopped_waiters(const event& e) {
    for (int i = 0; i < processes; ++i) children_.emplace_back([&] { sync_wait(e.wait()); });
    while (e.waiting() < processes) ::usleep(2000);
    for (const auto& c : children_) {
      while (!family_memory::get().wakes.is_asleep(c.id().word())) ::usleep(500);
      stop(c.pid());
    }
  }
  void go_on() const {
    for (const auto& c : children_) ::kill(c.pid(), SIGCONT);
  }
  int join() {
    int failed = 0;
    for (auto& c : children_) failed += c.join() != 0;
    return failed;
  }

 private:
  static void stop(pid_t pid) {
    siginfo_t info{};
    ::kill(pid, SIGSTOP);
    ::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOWAIT);
  }
  std::vector<test::child> children_;
};

/// Lowers the soft limit on descriptors, while it lives.
class descriptor_limit {
 public:
  explicit descriptor_limit(rlim_t most) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = most;
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  descriptor_limit(const descriptor_limit&) = delete;
  descriptor_limit& operator=(const descriptor_limit&) = delete;

  /// So that all numbers below it are taken.
  static rlim_t lowest_free() {
    const int lowest = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(lowest);
    return static_cast<rlim_t>(lowest);
  }

 private:
  rlimit before_{};
};

/// Sets the event for stopped waiters while there are no more than `most` descriptors.
void set_without_descriptors(bool below_those_in_use) {
  const memory m;
  const event e = made<event>();
  stopped_waiters waiters(e);
  in_loop([&]() -> task<> {
    const descriptor_limit few(below_those_in_use ? 3 : descriptor_limit::lowest_free());
    e.set();  // would wait for ever if it waited for one of them
    waiters.go_on();
    while (e.waiting() > 0) co_await yield();
  });
  CHECK(waiters.join() == 0);
}

}  // namespace

TEST_CASE("no descriptor is left: the doorbell's own number serves for the next") {
  set_without_descriptors(false);
}

TEST_CASE("not even the doorbell's own number can be had again: those that are left are rung later") {
  set_without_descriptors(true);
}

TEST_CASE("who is killed while it owes wakes is followed by those who clean up after it") {
  const memory m;
  const event e = made<event>();
  stopped_waiters waiters(e);
  const test::shared_page<std::atomic<bool>> done;
  test::child setter([&] {
    in_loop([&]() -> task<> {
      const descriptor_limit few(3);
      e.set();
      done->store(true);
      co_await sleep_for(std::chrono::hours(1));
    });
  });
  while (!done->load()) ::usleep(500);
  setter.kill();
  CHECK(setter.join() == -SIGKILL);
  waiters.go_on();
  CHECK(waiters.join() == 0);
}
