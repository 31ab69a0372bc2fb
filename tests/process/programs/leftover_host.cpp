// A parent to be interrupted or killed, whose programs have started others: in the group of one that has ended and of one that
// runs, in a session of its own, in a group of its own. Says the pid of each.
#include <string>

#include "brood/brood.hpp"
#include "program.hpp"

namespace {

brood::task<brood::program> start(std::string script) {
  auto program =
      co_await brood::command("bash", "-c", script).stdout_(brood::piped).stderr_(brood::null).spawn();
  const auto pid = co_await program.stdout_().read_line();
  tell(pid.value_or(""));
  co_return program;
}

brood::task<> live() {
  auto ended = co_await start("sleep 1000 >&2 & echo $!");
  co_await ended.join();
  auto group = co_await start("sleep 1000 >&2 & echo $!; wait");
  auto session = co_await start("setsid sleep 1000 >&2 & echo $!; wait");
  auto own_group = co_await start("set -m; sleep 1000 >&2 & echo $!; wait");
  co_await own_group.join();
}

}  // namespace

int main(int argc, char** argv) { return brood::run(argc, argv, live, settings_under_test()); }
