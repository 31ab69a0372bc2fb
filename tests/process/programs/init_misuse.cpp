// usage: init_misuse twice|before|run_after_init|run_after_sync_wait
// Uses init and run in unusual orders; says what that gave, and that spawning works afterwards.
#include <stdexcept>
#include <string>

#include "brood/brood.hpp"
#include "program.hpp"

namespace {

int square(int x) { return x * x; }

brood::task<int> spawn_one() {
  auto child = co_await brood::spawn<square>(7);
  co_return co_await child.result();
}

brood::task<int> application() { co_return co_await spawn_one(); }

template <class Misuse>
void expect_refusal(Misuse misuse) {
  try {
    misuse();
    require(false, "not refused");
  } catch (const std::logic_error& e) {
    tell(std::string("refused: ") + e.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  // In a fresh image of this program argv[1] is another: straight to init.
  const std::string role = argc == 2 ? argv[1] : "";
  if (role == "before") {
    expect_refusal([] { brood::sync_wait(spawn_one()); });
    expect_refusal([] { brood::sync_wait(brood::command("true").status()); });
  }
  if (role == "run_after_sync_wait") {
    brood::sync_wait(brood::yield());
    tell("waited");
    require(brood::run(argc, argv, application, settings_under_test()) == 49, "run");
  } else {
    brood::init(argc, argv, settings_under_test());
  }
  if (role == "twice") expect_refusal([&] { brood::init(argc, argv, settings_under_test()); });
  if (role == "run_after_init") {
    require(brood::run(argc, argv, application) == 49, "run after init");
    require(brood::run(argc, argv, application, settings_under_test()) == 49, "run again");
    brood::options others = settings_under_test();
    others.arena_size = 1 << 30;
    require(brood::run(argc, argv, application, others) == 1, "run with other settings");
  }
  require(brood::sync_wait(spawn_one()) == 49, "no spawn afterwards");
  tell("spawned");
}
