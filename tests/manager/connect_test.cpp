// Managers and processes that are no family: addresses, keys, lost connections.
// (_TestRemoteManager, _TestManagerRestart)
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/process/command.hpp"
#include "brood/runtime/stream.hpp"
#include "served.hpp"
#include "system/error.hpp"
#include "visitors.hpp"

using brood::address;
using brood::authkey;
using brood::manager;
using brood::task;
namespace sys = brood::sys;

namespace {

const char* const key = "a key of this test";

struct folder {
  folder() {
    std::string name = std::filesystem::temp_directory_path() / "manager_test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) sys::throw_errno("mkdtemp");
    path = name;
  }
  ~folder() {
    CHECK(std::filesystem::is_empty(path));
    std::filesystem::remove_all(path);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  address at(const std::string& name) const { return "unix:" + (path / name).string(); }
  std::filesystem::path path;
};

std::string peer_program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "manager" / "programs" /
         "manager_peer";
}

task<> tell_key(brood::program& p, std::string text) {
  co_await p.stdin_().write(text + "\n");
  p.stdin_().close();
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) sys::throw_errno("stat");
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("an unrelated program shares the objects, over every kind of address") {
  const folder f;
  const std::vector<address> addresses{f.at("socket"), "tcp:127.0.0.1:0", "tcp:[::1]:0", address(),
                                       "unix:@brood-manager-test-" + std::to_string(getpid())};
  run_clean([&]() -> task<> {
    for (const address& where : addresses) {
      auto m = co_await manager::start().at(where).key(key);
      auto q = co_await m.queue<int>(0, "numbers");
      co_await q.put(20);
      co_await q.put(22);
      auto p = co_await brood::command(peer_program(), m.address().text())
                   .stdin_(brood::piped)
                   .stdout_(brood::piped)
                   .spawn();
      co_await tell_key(p, key);
      const std::string said = co_await p.stdout_().read_all();
      // Nothing in this program reads the stream.
      CHECK(said == "visitor 1\npeer was here\n");
      const int sum = co_await q.get();
      CHECK(sum == 42);
      co_await p.join();
      co_await m.shutdown();
    }
  });
}

TEST_CASE("a socket file is its owner's alone, in a folder of its owner's alone") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().at(address());
    const std::filesystem::path file = m.address().name();
    CHECK(mode_of(file) == 0600);
    CHECK(mode_of(file.parent_path()) == 0700);
    co_await m.shutdown();
    CHECK_FALSE(std::filesystem::exists(file.parent_path()));
  });
}

TEST_CASE("a key is in no argument and no environment") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().key(key);
    for (const char* what : {"cmdline", "environ"}) {
      std::ifstream file("/proc/" + std::to_string(m.pid()) + "/" + what);
      const std::string all(std::istreambuf_iterator<char>(file), {});
      CHECK(all.find(key) == std::string::npos);
    }
    co_await m.shutdown();
  });
}

TEST_CASE("TCP beyond this machine must be asked for") {
  run_clean([]() -> task<> {
    const std::string refused = co_await error_of(manager::start().at("tcp:0.0.0.0:0").in_this_process());
    CHECK(refused == "std::invalid_argument");
    const std::string in_child = co_await error_of(manager::start().at("tcp:0.0.0.0:0"));
    CHECK(in_child == "remote std::invalid_argument");
    auto m = co_await manager::start().at("tcp:0.0.0.0:0").allow_remote().in_this_process();
    co_await m.shutdown();
  });
}

TEST_CASE("nobody answers, nobody listens, the address is taken") {
  const folder f;
  run_clean([&]() -> task<> {
    const std::string nobody = co_await error_of(manager::connect(f.at("nothing"), key));
    CHECK(nobody == "brood::disconnected");
    auto m = co_await manager::start().at(f.at("socket")).key(key);
    const std::string taken = co_await error_of(manager::start().at(f.at("socket")).key(key));
    CHECK(taken == "remote std::system_error");
    const std::string wrong = co_await error_of(manager::connect(f.at("socket"), "another key"));
    CHECK(wrong == "brood::authentication_error");
    co_await m.shutdown();
  });
}

TEST_CASE("the same address again and again, right after the end") {
  const folder f;
  run_clean([&]() -> task<> {
    for (address where : {f.at("socket"), address("tcp:127.0.0.1:0")}) {
      for (int i = 0; i < 10; ++i) {
        auto m = co_await manager::start().at(where).key(key);
        where = m.address();  // with its port
        auto v = co_await m.value<int>(i);
        const int got = co_await v.get();
        CHECK(got == i);
        co_await m.shutdown();
      }
    }
  });
}

TEST_CASE(
    "every pending call of a manager that is killed ends with an error, and later calls find a new one") {
  const folder f;
  run_clean([&]() -> task<> {
    auto m = co_await manager::start().at(f.at("socket")).key(key);
    auto q = co_await m.queue<int>(0, "numbers");
    auto l = co_await m.lock();
    auto guard = co_await l.acquire();
    std::vector<task<std::string>> waiting;
    for (int i = 0; i < 100; ++i) {
      waiting.push_back(error_of(q.get()));
      waiting.push_back(error_of(l.acquire()));
    }
    std::vector<std::string> errors;
    co_await brood::with_nursery([&](brood::nursery& n) -> task<> {
      n.start([](std::vector<task<std::string>> all, std::vector<std::string>& into) -> task<> {
        into = co_await brood::when_all(std::move(all));
      }(std::move(waiting), errors));
      co_await q.size();
      ::kill(m.pid(), SIGKILL);
    });
    CHECK(errors == std::vector<std::string>(200, "brood::disconnected"));
    CHECK_FALSE(guard.is_held());
    const std::string later = co_await error_of(q.size());
    CHECK(later == "brood::disconnected");  // nobody listens
    co_await m.shutdown();                  // reaps it

    auto next = co_await manager::start().at(f.at("socket")).key(key);
    const std::string old_object = co_await error_of(l.locked());  // it had no name
    CHECK(old_object == "brood::object_gone");
    auto again = co_await m.queue<int>(0, "numbers");
    co_await again.put(1);
    const std::size_t size = co_await q.size();  // by the old handle
    CHECK(size == 1);
    co_await next.shutdown();
  });
}

TEST_CASE("no more clients than allowed") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().key(key).max_connections(1);
    auto d = co_await m.dict<int, int>();
    auto p = co_await brood::command(peer_program(), m.address().text())
                 .stdin_(brood::piped)
                 .stdout_(brood::piped)
                 .spawn();
    co_await tell_key(p, key);
    const std::string said = co_await p.stdout_().read_all();
    CHECK_THAT(said, contains_text("as many connections as it takes"));
    co_await p.join();
    co_await d.set(1, 1);
    co_await m.shutdown();
  });
}
