// A host that deals with SIGCHLD in its own way. usage: signal_host ROLE
//   ignore    SIGCHLD is ignored, so the kernel reaps the children that announce their end with it
//   handle    a handler reaps whatever it finds
//   steal     a thread calls waitpid(-1) without end
//   block     SIGCHLD, SIGTERM and SIGUSR1 are blocked when init is called
// Loses none of its children's statuses.
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "../bodies.hpp"
#include "brood/brood.hpp"
#include "program.hpp"

namespace {

int square(int x) { return x * x; }
void exit_with(int code) { brood::exit(code); }
bool starts_with_defaults(int signal) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  struct sigaction action{};
  sigaction(signal, nullptr, &action);
  return sigismember(&mask, signal) == 0 && action.sa_handler == SIG_DFL;
}
bool is_blocked(int signal) {
  sigset_t mask;
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

brood::task<> check_function(int i) {
  auto value = co_await brood::spawn<square>(i);
  require(co_await value.result() == i * i, "a function's result");
  auto coded = co_await brood::spawn<exit_with>(i % 200);
  const auto status = co_await coded.join();
  require(status.known && status.exitcode == i % 200, "a function's status");
}

brood::task<> check_program(int i) {
  const std::string code = std::to_string(i % 200);
  const auto status = co_await brood::command("sh", "-c", "exit " + code).status();
  require(status.known && status.exitcode == i % 200, "a program's status: " + brood::describe(status));
  auto killed = co_await brood::command("sleep", "1000").spawn();
  killed.terminate();
  const auto ending = co_await killed.join();
  require(ending.known && ending.exitcode == -SIGTERM,
          "a killed program's status: " + brood::describe(ending));
}

brood::task<> check_all(int count) {
  std::vector<brood::task<>> checks;
  for (int i = 0; i < count; ++i) {
    checks.push_back(check_function(i));
    checks.push_back(check_program(i));
  }
  co_await brood::when_all(std::move(checks));
}

brood::task<int> application(std::vector<std::string> words) {
  const std::string role = words.at(1);
  if (role == "ignore") std::signal(SIGCHLD, SIG_IGN);
  if (role == "handle") {
    std::signal(SIGCHLD, [](int) {
      const int error = errno;
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
      errno = error;
    });
  }
  if (role == "steal") {
    std::thread([] {
      for (;;) waitpid(-1, nullptr, 0);
    }).detach();
  }
  if (role == "block") {
    auto defaults = co_await brood::spawn<is_blocked>(int{SIGUSR1});
    require(co_await defaults.result(), "the mask of init is not a child's");
  } else {
    auto defaults = co_await brood::spawn<starts_with_defaults>(int{SIGCHLD});
    require(co_await defaults.result(), "a child does not start with the default action");
  }
  if (role != "block") co_await check_all(30);
  if (role == "ignore" || role == "handle" || role == "steal") {
    // The children of a server that was started again are as safe.
    if (const pid_t server = brood::fork_server_pid()) kill(server, SIGKILL);
    auto after = co_await brood::spawn<square>(3);
    require(co_await after.result() == 9, "a function after the server's death");
    co_await check_all(30);
  }
  tell("all known");
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  if (role == "ignore") std::signal(SIGCHLD, SIG_IGN);
  if (role == "block") {
    sigset_t some;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigprocmask(SIG_BLOCK, &some, nullptr);
  }
  return brood::run(argc, argv, application, settings_under_test());
}
