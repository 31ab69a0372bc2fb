// spawn: functions in children, their arguments, results and ends.
#include "brood/process/spawn.hpp"

#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "catch.hpp"
#include "run_clean.hpp"

namespace {

int square(int x) { return x * x; }
void sleep_for_ever() { pause(); }

}  // namespace

TEST_CASE("a function runs in a child and gives its result") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<square>(7);
    CHECK(child.pid() != getpid());
    CHECK(co_await child.result() == 49);
    CHECK(co_await child.result() == 49);
    CHECK(child.exitcode() == 0);
  });
}

TEST_CASE("a child ended by a signal tells which") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<sleep_for_ever>();
    CHECK(child.is_alive());
    child.terminate();
    const auto status = co_await child.join();
    CHECK(status.exitcode == -SIGTERM);
    CHECK_FALSE(child.is_alive());
  });
}
