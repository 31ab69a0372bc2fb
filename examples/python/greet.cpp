// Two processes that greet: the first program of Python's multiprocessing tutorial.
#include <fmt/core.h>
#include <unistd.h>

#include <brood/brood.hpp>
#include <chrono>
#include <string>
#include <thread>

void greet(const std::string& name) {
  fmt::print("{} ({}) says hello to {}\n", brood::current_process().name(), getpid(), name);
}

void wait_for_ever() {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

brood::task<> app() {
  auto first = co_await brood::spawn<greet>("Alice").name("greeter");
  co_await first.join();
  fmt::print("{}: daemon {}, alive {}, exit code {}\n", first.name(), first.daemon(), first.is_alive(),
             *first.exitcode());

  auto second = co_await brood::spawn<wait_for_ever>().daemon();
  fmt::print("{}: daemon {}, alive {}\n", second.name(), second.daemon(), second.is_alive());
  second.terminate();
  co_await second.join();
  fmt::print("{}: alive {}, exit code {}\n", second.name(), second.is_alive(), *second.exitcode());
}

int main(int argc, char** argv) { return brood::run(argc, argv, app); }
