// The main of tests that are their own hosts, as an application is.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <string_view>

#include "brood/cluster/run.hpp"
#include "brood/process/spawn.hpp"

/// In the tests that have a client of their own to kill.
[[gnu::weak]] int run_client(int argc, char** argv);

namespace {

void nothing() {}

}  // namespace

int main(int argc, char** argv) {
  int code = 0;
  if (brood::cluster::detail::run_host(argc, argv, {}, code)) return code;
  if (run_client != nullptr && argc > 1 && argv[1] == std::string_view("--client"))
    return run_client(argc, argv);
  brood::init(argc, argv);
  {  // what a process opens once and keeps, so that no test sees it as left behind
    brood::runtime loop;
    loop.run_until_complete([]() -> brood::task<> {
      auto child = co_await brood::spawn<nothing>();
      co_await child.join();
    }());
  }
  return Catch::Session().run(argc, argv);
}
