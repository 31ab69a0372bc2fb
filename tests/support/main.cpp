// The main of every test program: enters the family as an application would, under the process model that
// BROOD_TEST_MODEL names, and lets Catch2 run the tests.
#define CATCH_CONFIG_RUNNER
#include "catch.hpp"

#include <cstdlib>
#include <string_view>

#include "brood/process/run.hpp"
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

}  // namespace

int main(int argc, char** argv) {
  brood::options settings;
  settings.model = model_to_test();
  settings.preload = &test_preload;
  brood::init(argc, argv, settings);
  brood::runtime().run();  // libuv opens two descriptors for signals at its first loop and keeps them
  return Catch::Session().run(argc, argv);
}
