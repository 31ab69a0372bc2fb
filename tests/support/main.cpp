// The main of every test program: enters the family as an application would, under the process model that
// BROOD_TEST_MODEL names, and lets Catch2 run the tests.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <cstdlib>
#include <string_view>

#include "brood/process/run.hpp"
#include "brood/process/spawn.hpp"
#include "preload.hpp"

namespace {

brood::process_model model_to_test() {
  const char* name = std::getenv("BROOD_TEST_MODEL");
  const std::string_view model = name != nullptr ? name : "automatic";
  if (model == "siblings") return brood::process_model::siblings;
  if (model == "relay") return brood::process_model::relay;
  if (model == "exec") return brood::process_model::exec;
  return brood::process_model::automatic;
}

void nothing() {}

/// What a process opens once and keeps, so that no test sees it as left behind: libuv's descriptors for signals, and the
/// heir of the fork server.
void open_what_stays_open() {
  brood::runtime loop;
  loop.run_until_complete([]() -> brood::task<> {
    auto child = co_await brood::spawn<nothing>();
    co_await child.join();
  }());
}

}  // namespace

int main(int argc, char** argv) {
  brood::options settings;
  settings.model = model_to_test();
  settings.preload = &test_preload;
  brood::init(argc, argv, settings);
  open_what_stays_open();
  return Catch::Session().run(argc, argv);
}
