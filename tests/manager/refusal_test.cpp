// A manager to which something is refused, on either side; and user's code that throws what is no exception. Whoever asked is
// told, nobody hangs, and the next call works.
#include <chrono>
#include <string>
#include <system_error>
#include <thread>

#include "brood/channel/queue.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/spawn.hpp"
#include "scarce.hpp"
#include "served.hpp"

using namespace std::chrono_literals;
using brood::manager;
using brood::task;
namespace managed = brood::managed;

namespace {

/// Throws a number wherever it may.
class rude {
 public:
  explicit rude(int n) {
    if (n == 0) throw 7;
  }
  int at_once() { throw 7; }
  task<int> later() {
    co_await brood::yield();
    throw 7;
  }
  brood::generator<int> after_one() {
    co_yield 1;
    throw 7;
  }
};
int rude_update(int) { throw 7; }

/// Can be sent, and not be read.
struct unreadable {
  int number = 0;
  template <class Archive>
  void save(Archive& archive) const {
    archive(number);
  }
  template <class Archive>
  void load(Archive&) {
    throw 7;
  }
};

/// Connects once with little patience, tells how that ended, and once more when it may.
task<> connect_twice(manager m, brood::queue<std::string> told, brood::queue<int> again) {
  co_await again.get();
  const std::string first = co_await error_of(manager::connect(m.address(), m.authkey()).deadline(200ms));
  co_await told.put(first);
  co_await again.get();
  auto d = co_await m.dict<int, int>("numbers");
  co_await d.set(1, 7);
  co_await told.put("connected");
}

template <class Operation>
task<bool> lacks_descriptors(Operation operation) {
  try {
    co_await std::move(operation);
  } catch (const std::system_error& e) {
    co_return e.code() == std::errc::too_many_files_open;
  } catch (const brood::disconnected& e) {
    co_return std::string(e.what()).find("Too many open files") != std::string::npos;
  }
  co_return false;
}

}  // namespace

TEST_CASE("a manager cannot be started without descriptors, and can be with them") {
  run_clean([]() -> task<> {
    {
      const no_descriptors none;
      const bool child = co_await lacks_descriptors(manager::start());
      CHECK(child);
      const bool here = co_await lacks_descriptors(manager::start().in_this_process());
      CHECK(here);
    }
    for (const bool here : {false, true}) {
      const auto use = [](manager m) -> task<> {
        auto v = co_await m.value<int>(1);
        const int one = co_await v.get();
        CHECK(one == 1);
      };
      co_await with_manager(use, here);
    }
  });
}

TEST_CASE("a manager cannot be started while the arena is full, and can be afterwards") {
  run_clean([]() -> task<> {
    {
      const full_arena full;
      const std::string refused = co_await error_of(manager::start());
      CHECK(refused == "brood::arena_full");
    }
    auto m = co_await manager::start();
    co_await m.shutdown();
  });
}

TEST_CASE("a client without descriptors is told so by the call, and the next one connects") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start();
    {
      const no_descriptors none;
      for (int i = 0; i < 2; ++i) {
        const bool refused = co_await lacks_descriptors(m.objects());
        CHECK(refused);
      }
    }
    const std::size_t objects = co_await m.objects();
    CHECK(objects == 0);
    co_await m.shutdown();
  });
}

TEST_CASE("a server that cannot accept serves the clients it has, and the others later") {
  run_clean([]() -> task<> {
    auto m = co_await manager::start().in_this_process();
    auto own = co_await m.dict<int, int>("numbers");
    brood::queue<std::string> told;
    brood::queue<int> again;
    auto child = co_await brood::spawn<connect_twice>(m, told, again);
    // This process's first wait in shared memory takes descriptors too.
    const std::string waited = co_await error_of(brood::with_timeout(1ms, told.get()));
    CHECK(waited == "brood::timed_out");
    {
      const no_descriptors none;
      co_await again.put(1);
      const std::string first = co_await told.get();
      CHECK(first == "brood::timed_out");
      const std::size_t size = co_await own.size();
      CHECK(size == 0);
    }
    co_await again.put(1);
    const std::string second = co_await told.get();
    CHECK(second == "connected");
    const int seven = co_await own.at(1);
    CHECK(seven == 7);
    co_await child.result();
    co_await m.shutdown();
  });
}

TEST_CASE("a manager that is used on another thread says so") {
  served([](manager m) -> task<> {
    auto d = co_await m.dict<int, int>();
    std::string refused;
    std::thread elsewhere([&] {
      brood::runtime loop;
      loop.run_until_complete([&]() -> task<> { refused = co_await error_of(d.size()); }());
    });
    elsewhere.join();
    CHECK(refused == "std::logic_error");
    const std::size_t size = co_await d.size();
    CHECK(size == 0);
  });
}

TEST_CASE("user's code in the server that throws what is no exception fails its call, and nothing else") {
  served_by_a_child([](manager m) -> task<> {
    const std::string made = co_await error_of(m.make<rude>(0));
    CHECK(made == "remote int");
    auto r = co_await m.make<rude>(1);
    const std::string at_once = co_await error_of(r.call<&rude::at_once>());
    CHECK(at_once == "remote int");
    const std::string later = co_await error_of(r.call<&rude::later>());
    CHECK(later == "remote int");
    auto values = r.each<&rude::after_one>();
    const auto one = co_await values.next();
    CHECK(one == 1);
    const std::string after = co_await error_of(values.next());
    CHECK(after == "remote int");
    auto v = co_await m.value<int>(1);
    const std::string updated = co_await error_of(v.update<rude_update>());
    CHECK(updated == "remote int");
    const int kept = co_await v.get();
    CHECK(kept == 1);
  });
}

TEST_CASE("a value that cannot be read fails who asked for it, also where nobody waits for it any more") {
  served([](manager m) -> task<> {
    auto q = co_await m.queue<unreadable>();
    const unreadable item;
    co_await q.put(item);
    co_await q.put(item);
    int thrown = 0;
    try {
      co_await q.get();
    } catch (int number) {
      thrown = number;
    }
    CHECK(thrown == 7);
    // The request leaves, and its cancellation behind it: the answer is taken back, for which it is read.
    const auto first = co_await brood::when_any(q.get(), brood::yield());
    CHECK(first.index() == 1);
    const std::size_t left = co_await q.size();
    CHECK(left == 0);
  });
}
