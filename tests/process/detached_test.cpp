// A child that outlives its parent keeps its place in the family's memory, and its end is noticed.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "brood/arena/codec.hpp"
#include "brood/channel/queue.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/command.hpp"
#include "brood/process/spawn.hpp"
#include "brood/sync/event.hpp"
#include "brood/sync/lock.hpp"
#include "brood/system/unique_fd.hpp"
#include "catch.hpp"
#include "orphans.hpp"
#include "run_balanced.hpp"

namespace {

/// Two pipes with names, for processes that share nothing else yet.
class fifos {
 public:
  fifos() {
    std::string name = (std::filesystem::temp_directory_path() / "brood-test-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    REQUIRE(mkfifo(begin().c_str(), 0600) == 0);
    REQUIRE(mkfifo(answer().c_str(), 0600) == 0);
  }
  ~fifos() { std::filesystem::remove_all(folder_); }
  std::string folder() const { return folder_; }
  std::string begin() const { return folder_ + "/begin"; }
  std::string answer() const { return folder_ + "/answer"; }

 private:
  std::string folder_;
};

/// Opening a pipe with a name waits for the other side.
void write_to(const std::string& path, const brood::bytes& what) {
  const brood::unique_fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (write(fd.get(), what.data(), what.size()) != static_cast<ssize_t>(what.size())) std::abort();
}

brood::bytes read_from(const std::string& path) {
  const brood::unique_fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  brood::bytes all(4096);
  std::size_t size = 0;
  ssize_t got = 0;
  while ((got = read(fd.get(), all.data() + size, all.size() - size)) > 0)
    size += static_cast<std::size_t>(got);
  all.resize(size);
  return all;
}

struct answer {
  pid_t pid = 0;
  std::string failure;
  brood::lock held;
};

/// Uses the family's memory for the first time when it is told to.
brood::task<> late_user(std::string folder) {
  read_from(folder + "/begin");
  answer mine;
  mine.pid = getpid();
  try {
    const brood::queue<int> q(4);
    q.try_put(1);
  } catch (const std::exception& e) {
    mine.failure = e.what();
  }
  const auto guard = co_await mine.held.acquire();
  write_to(folder + "/answer", brood::encode(mine));
  for (;;) pause();
}

brood::task<> detach_one(std::string folder) { co_await brood::spawn<late_user>(folder).detached(); }

brood::task<> wait_until_told(brood::queue<int> from) { co_await from.get(); }

/// Until it is killed.
brood::task<> hold(brood::lock l, brood::event begun) {
  const auto guard = co_await l.acquire();
  begun.set();
  for (;;) pause();
}
brood::task<> detach_holder(brood::lock l, brood::event begun, brood::queue<int> pids) {
  auto child = co_await brood::spawn<hold>(l, begun).detached();
  co_await pids.put(child.pid());
}
void nothing() {}

void in_runtime(const std::function<brood::task<>()>& body) {
  brood::runtime loop;
  loop.run_until_complete(body());
}

/// In a runtime that watches what earlier ones have left.
brood::task<> expect_abandoned(const brood::lock& l) {
  auto child = co_await brood::spawn<nothing>();
  co_await child.join();
  const auto guard = co_await brood::with_timeout(std::chrono::seconds(10), l.acquire());
  CHECK(guard.abandoned());
}

}  // namespace

TEST_CASE("a detached child that outlives its runtime is watched by the next one of the process") {
  const brood::lock l;
  const brood::event begun;
  pid_t function = 0;
  pid_t program = 0;
  in_runtime([&]() -> brood::task<> {
    auto child = co_await brood::spawn<hold>(l, begun).detached();
    function = child.pid();
    auto other = co_await brood::command("sleep", "1000").detached().spawn();
    program = other.pid();
    co_await begun.wait();
  });
  in_runtime([]() -> brood::task<> {  // watches both, and leaves them to the next
    auto child = co_await brood::spawn<nothing>();
    co_await child.join();
  });
  kill(function, SIGKILL);
  kill(program, SIGKILL);
  in_runtime([&]() -> brood::task<> {
    co_await expect_abandoned(l);
    while (!leftovers::now().children.empty()) co_await brood::sleep_for(std::chrono::milliseconds(1));
  });
}

TEST_CASE("a detached grandchild that outlives the runtime which watched it is watched by the next one") {
  const orphanage orphans;
  const brood::lock l;
  const brood::event begun;
  const brood::queue<int> pids(1);
  pid_t grandchild = 0;
  in_runtime([&]() -> brood::task<> {
    auto parent = co_await brood::spawn<detach_holder>(l, begun, pids);
    co_await parent.join();
    grandchild = co_await pids.get();
    co_await begun.wait();
  });
  kill(grandchild, SIGKILL);
  in_runtime([&]() -> brood::task<> { co_await expect_abandoned(l); });
  CHECK(orphans.all_gone());
}

TEST_CASE("a detached grandchild whose parent ended takes nobody's place, and is cleaned up after") {
  const orphanage orphans;
  run_balanced([&]() -> brood::task<> {
    const fifos names;
    auto parent = co_await brood::spawn<detach_one>(names.folder());
    co_await parent.join();
    // Those get the places that are free.
    const brood::queue<int> end_of_first(1);
    const brood::queue<int> end_of_second(1);
    auto first = co_await brood::spawn<wait_until_told>(end_of_first);
    auto second = co_await brood::spawn<wait_until_told>(end_of_second);
    write_to(names.begin(), {});
    const auto said = brood::decode<answer>(read_from(names.answer()));
    CHECK(said.failure.empty());
    CHECK(said.held.locked());
    co_await end_of_first.put(1);
    co_await first.join();
    CHECK(said.held.locked());
    kill(said.pid, SIGKILL);
    {
      const auto guard = co_await said.held.acquire();
      CHECK(guard.abandoned());
    }
    co_await end_of_second.put(1);
    co_await second.join();
    CHECK(orphans.all_gone());
  });
}
