// A child that outlives its parent keeps its place in the family's memory, and its end is noticed.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "brood/arena/codec.hpp"
#include "brood/channel/queue.hpp"
#include "brood/process/spawn.hpp"
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

}  // namespace

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
