// fd_watch: readiness of a descriptor, by callback.
#include "brood/runtime/fd_watch.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <system_error>

#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"
#include "run_clean.hpp"

using namespace std::chrono_literals;
using brood::fd_watch;
using brood::runtime;
using brood::task;
using brood::unique_fd;

namespace {

struct pair {
  pair() {
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    a = unique_fd(fds[0]);
    b = unique_fd(fds[1]);
  }
  void ring() { REQUIRE(write(b.get(), "x", 1) == 1); }
  void drain() {
    char c;
    REQUIRE(read(a.get(), &c, 1) == 1);
  }
  unique_fd a;
  unique_fd b;
};

}  // namespace

TEST_CASE("an fd_watch constructed and never used leaves nothing") {
  run_clean([]() -> task<> {
    pair ends;
    fd_watch unused(runtime::current(), ends.a.get(), [](int) {});
    co_return;
  });
}

TEST_CASE("a watch tells what is ready, again and again until it is stopped") {
  run_clean([]() -> task<> {
    pair ends;
    brood::detail::local_event twice;
    int calls = 0;
    int seen = 0;
    fd_watch watch(runtime::current(), ends.a.get(), [&](int events) {
      seen |= events;
      if (++calls == 2) {
        watch.watch(0);
        twice.set();
      }
    });
    ends.ring();
    watch.watch(fd_watch::readable);
    co_await twice.wait();
    CHECK(seen == fd_watch::readable);
    for (int i = 0; i < 3; ++i) co_await brood::sleep_for(0s);
    CHECK(calls == 2);
    ends.drain();

    brood::detail::local_event writable;
    fd_watch other(runtime::current(), ends.b.get(), [&](int events) {
      CHECK(events == fd_watch::writable);
      other.watch(0);
      writable.set();
    });
    other.watch(fd_watch::writable);
    co_await writable.wait();
  });
}

TEST_CASE("a hang-up counts as readable") {
  run_clean([]() -> task<> {
    pair ends;
    brood::detail::local_event ready;
    int seen = 0;
    fd_watch watch(runtime::current(), ends.a.get(), [&](int events) {
      seen = events;
      watch.watch(0);
      ready.set();
    });
    watch.watch(fd_watch::readable);
    ends.b.reset();
    co_await ready.wait();
    CHECK((seen & fd_watch::readable) != 0);
  });
}

TEST_CASE("a watch may be destroyed in its own callback") {
  run_clean([]() -> task<> {
    pair ends;
    brood::detail::local_event done;
    auto alive = std::make_shared<int>(1);
    std::unique_ptr<fd_watch> watch;
    watch = std::make_unique<fd_watch>(runtime::current(), ends.a.get(), [&, alive](int) {
      watch.reset();
      CHECK(*alive == 1);  // what the callback owns outlives the call
      done.set();
    });
    watch->watch(fd_watch::readable);
    ends.ring();
    co_await done.wait();
    CHECK_FALSE(watch);
    ends.a.reset();  // may be closed once the watch is gone
  });
}

TEST_CASE("a callback may destroy another watch that is ready in the same turn") {
  run_clean([]() -> task<> {
    pair first;
    pair second;
    brood::detail::local_event done;
    std::unique_ptr<fd_watch> watches[2];
    int calls = 0;
    for (int i = 0; i < 2; ++i) {
      watches[i] =
          std::make_unique<fd_watch>(runtime::current(), i == 0 ? first.a.get() : second.a.get(), [&](int) {
            ++calls;
            watches[0].reset();
            watches[1].reset();
            done.set();
          });
    }
    first.ring();
    second.ring();
    watches[0]->watch(fd_watch::readable);
    watches[1]->watch(fd_watch::readable);
    co_await done.wait();
    co_await brood::sleep_for(1ms);
    CHECK(calls == 1);
  });
}

TEST_CASE("what cannot be polled is an error with the call's name") {
  run_clean([]() -> task<> {
    unique_fd file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    CHECK_THROWS_AS(fd_watch(runtime::current(), file.get(), [](int) {}), std::system_error);
    CHECK_THROWS_WITH(fd_watch(runtime::current(), file.get(), [](int) {}), contains_text("uv_poll_init"));
    co_return;
  });
}

TEST_CASE("a second watch of a descriptor is refused, and can be started when the first has stopped") {
  run_clean([]() -> task<> {
    pair ends;
    brood::detail::local_event ready;
    fd_watch first(runtime::current(), ends.a.get(), [](int) {});
    fd_watch second(runtime::current(), ends.a.get(), [&](int) {
      second.watch(0);
      ready.set();
    });
    first.watch(fd_watch::readable);
    CHECK_THROWS_WITH(second.watch(fd_watch::readable), contains_text("uv_poll_start"));
    first.watch(0);
    second.watch(fd_watch::readable);
    ends.ring();
    co_await ready.wait();
  });
}

TEST_CASE("a watch in the background does not keep the loop waiting") {
  const leftovers before = leftovers::now();
  {
    pair ends;
    runtime loop;
    fd_watch watch(loop, ends.a.get(), [](int) {});
    watch.background();
    watch.watch(fd_watch::readable);
    loop.run();
    loop.run_until_complete(brood::sleep_for(1ms));
  }
  CHECK(leftovers::now() == before);
}

TEST_CASE("a watch may outlive its runtime") {
  const leftovers before = leftovers::now();
  {
    pair ends;
    std::unique_ptr<fd_watch> watch;
    {
      runtime loop;
      watch = std::make_unique<fd_watch>(loop, ends.a.get(), [](int) {});
      watch->watch(fd_watch::readable);
    }
    CHECK_THROWS_AS(watch->watch(fd_watch::readable), std::logic_error);
    watch->watch(0);
    watch->background();
  }
  CHECK(leftovers::now() == before);
}
