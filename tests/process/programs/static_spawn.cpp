// Spawns from a static initialiser, which is refused: in a fresh image of the program it would run again, and again.
#include <stdexcept>
#include <string>

#include "brood/brood.hpp"
#include "program.hpp"

namespace {

int square(int x) { return x * x; }

brood::task<int> spawn_one() {
  auto child = co_await brood::spawn<square>(7).start_method(brood::start_method::exec);
  co_return co_await child.result();
}

const std::string refusal = [] {
  try {
    brood::sync_wait(spawn_one());
    return std::string();
  } catch (const std::logic_error& e) {
    return std::string(e.what());
  }
}();

}  // namespace

int main(int argc, char** argv) {
  brood::init(argc, argv, settings_under_test());
  tell("refused: " + refusal);
  require(brood::sync_wait(spawn_one()) == 49, "no spawn afterwards");
  tell("spawned");
}
