// A first process that is killed while it holds what its detached children wait for. usage: heirless_host ROLE; see main.
#include <unistd.h>

#include <string>
#include <vector>

#include "brood/brood.hpp"
#include "program.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto patience = 10s;

brood::task<> take_lock(brood::lock l) {
  const auto guard = co_await l.acquire();
  tell(guard.abandoned() ? "an abandoned lock" : "a lock");
}
brood::task<> take_permit(brood::semaphore s) {
  const auto permit = co_await s.acquire();
  tell("a permit");
}
brood::task<> take_item(brood::queue<int> q) {
  const int item = co_await q.get();
  tell(item == 7 ? "an item" : "a wrong item");
}

/// Says what it gets.
brood::task<> wait_for_all(brood::lock l, brood::semaphore s, brood::queue<int> q) {
  tell("waiting");
  try {
    co_await brood::with_timeout(patience, brood::when_all(take_lock(l), take_permit(s), take_item(q)));
  } catch (const std::exception& e) {
    tell(e.what());
  }
}

/// Says who it is when it has the lock, and keeps it.
brood::task<> wait_and_hold(brood::lock l, brood::event begun) {
  tell("waiting");
  begun.set();
  try {
    const auto guard = co_await brood::with_timeout(patience, l.acquire());
    tell(std::to_string(getpid()));
    co_await brood::sleep_for(1h);
  } catch (const std::exception& e) {
    tell(e.what());
  }
}

brood::task<> hold_and_detach(brood::lock l) {
  const auto guard = co_await l.acquire();
  const brood::event begun;
  co_await brood::spawn<wait_and_hold>(l, begun).detached();
  co_await brood::sleep_for(1h);
}

void tell_servers() {
  for (const pid_t server : brood::detail::fork_servers().pids) tell(std::to_string(server));
  tell("servers");
}

brood::task<int> application(std::vector<std::string> words) {
  const std::string role = words.at(1);
  const brood::lock l;
  const brood::semaphore s(1);
  const brood::queue<int> q(1);
  co_await q.put(7);
  const auto permit = co_await s.acquire();
  const auto item = co_await q.get_leased();
  if (role == "below") {
    co_await brood::spawn<hold_and_detach>(l);
    co_await brood::sleep_for(1h);
  }
  const auto guard = co_await l.acquire();
  if (role == "all") co_await brood::spawn<wait_for_all>(l, s, q).detached();
  const brood::event begun;
  if (role == "two") {
    for (int i = 0; i < 2; ++i) co_await brood::spawn<wait_and_hold>(l, begun).detached();
    tell_servers();
  }
  if (role == "return") {
    co_await brood::spawn<wait_and_hold>(l, begun).detached();
    co_await begun.wait();
    _exit(0);
  }
  co_await brood::sleep_for(1h);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) { return brood::run(argc, argv, application, settings_under_test()); }
