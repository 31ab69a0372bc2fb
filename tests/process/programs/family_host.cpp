// A parent to be killed. usage: family_host idle|storm|programs
//   idle      children, grandchildren and programs with children of their own run; says "ready" when all do
//   storm     starts and loses function children without end; says "ready" after the first hundred
//   programs  the same with programs that start programs
#include <string>
#include <vector>

#include "../bodies.hpp"
#include "brood/brood.hpp"
#include "program.hpp"

namespace {

const char* const program_with_children = "sleep 1000 & echo ready; sleep 1000";

brood::task<brood::program> start_program() {
  co_return co_await brood::command("sh", "-c", program_with_children).stdout_(brood::piped).spawn();
}

brood::task<> live(int levels) {
  auto program = co_await start_program();
  co_await program.stdout_().read_line();
  if (levels > 0) {
    auto child = co_await brood::spawn<live>(levels - 1).stdout_(brood::piped);
    co_await child.stdout_().read_line();
    say("ready");
    co_await child.join();
  }
  say("ready");
  co_await program.join();
}

brood::task<int> idle() {
  const auto named = brood::shared_memory::create("brood-family-host-" + std::to_string(getpid()), 4096);
  std::vector<brood::process<void>> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(co_await brood::spawn<live>(2).stdout_(brood::piped));
    co_await children.back().stdout_().read_line();
  }
  auto image = co_await brood::spawn<live>(1).start_method(brood::start_method::exec).stdout_(brood::piped);
  co_await image.stdout_().read_line();
  auto program = co_await start_program();
  co_await program.stdout_().read_line();
  tell("ready");
  co_await image.join();
  co_return 0;
}

template <class Start>
brood::task<int> storm(Start start) {
  int started = 0;
  auto one = [&]() -> brood::task<> {
    for (;;) {
      co_await start();
      if (++started == 100) tell("ready");
    }
  };
  std::vector<brood::task<>> all;
  for (int i = 0; i < 32; ++i) all.push_back(one());
  co_await brood::when_all(std::move(all));
  co_return 0;
}

brood::task<> lose_function() { static_cast<void>(co_await brood::spawn<wait_for_ever>()); }
brood::task<> lose_program() {
  auto lost = brood::command("sh", "-c", "sleep 1000 & sleep 1000");
  static_cast<void>(co_await std::move(lost).spawn());
}

brood::task<int> play(std::vector<std::string> words) {
  const std::string role = words.at(1);
  if (role == "storm") co_return co_await storm(lose_function);
  if (role == "programs") co_return co_await storm(lose_program);
  co_return co_await idle();
}

}  // namespace

int main(int argc, char** argv) { return brood::run(argc, argv, play, settings_under_test()); }
