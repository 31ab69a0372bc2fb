// Applications under brood::run. usage: run_app ROLE
#include <csignal>
#include <stdexcept>
#include <string>
#include <vector>

#include "../bodies.hpp"
#include "brood/brood.hpp"
#include "program.hpp"

using namespace std::chrono_literals;

namespace {

brood::task<> speak_later(std::string text) {
  co_await brood::sleep_for(50ms);
  say(text);
}

void speak_when_terminated() {
  std::signal(SIGTERM, [](int) {
    static_cast<void>(!write(2, "terminated\n", 11));
    _exit(0);
  });
  say("ready");
  wait_for_ever();
}

void ignore_terminate() {
  std::signal(SIGTERM, SIG_IGN);
  say("ready");
  wait_for_ever();
}

brood::task<> wait_until_cancelled() {
  try {
    co_await brood::sleep_for(1h);
  } catch (const brood::cancelled&) {
    tell("cancelled");
    throw;
  }
}

brood::task<> clean_up() {
  co_await brood::sleep_for(1ms);
  tell("cleaned up");
}

/// Is asked to stop, and cleans up; `busy`: until a second signal cancels it.
brood::task<int> be_asked(bool busy) {
  tell("ready");
  bool stopped = false;
  try {
    co_await brood::stop_requested();
    tell(brood::this_process().stop_requested() ? "asked" : "not asked");
    co_await brood::stop_requested();  // at once
    co_await brood::sleep_for(busy ? std::chrono::milliseconds(1h) : 1ms);
  } catch (const brood::cancelled&) {
    stopped = true;
  }
  if (!stopped) co_return 3;
  tell("cancelled");
  co_await brood::shield(clean_up(), 1min);
  throw brood::cancelled();
}

brood::task<int> application(std::vector<std::string> words) {
  const std::string role = words.at(1);
  if (role == "code") co_return std::stoi(words.at(2));
  if (role == "throw") throw std::runtime_error("on purpose");
  if (role == "words") {
    for (const auto& word : words) tell(word);
  }
  if (role == "join") {
    static_cast<void>(co_await brood::spawn<speak_later>("child done"));
    tell("application done");
  }
  if (role == "daemon") {
    auto daemon =
        co_await brood::spawn<speak_when_terminated>().daemon().stdout_(brood::piped).stderr_(brood::inherit);
    co_await daemon.stdout_().read_line();
    static_cast<void>(co_await brood::spawn<speak_later>("child done"));
    tell("application done");
  }
  if (role == "cancel" || role == "event" || role == "busy_event") {
    const int code = co_await be_asked(role != "event");
    co_return code;
  }
  if (role == "off") {
    tell("ready");
    co_await brood::sleep_for(1h);
  }
  if (role == "wait") {
    auto child = co_await brood::spawn<say_ready_and_wait>().stdout_(brood::piped);
    co_await child.stdout_().read_line();
    tell("ready");
    co_await wait_until_cancelled();
  }
  if (role == "wait_child") {
    auto child = co_await brood::spawn<say_ready_and_wait>().stdout_(brood::piped);
    co_await child.stdout_().read_line();
    tell("ready");  // the application is done, the child is not
  }
  if (role == "stubborn") {
    auto child = co_await brood::spawn<ignore_terminate>().stdout_(brood::piped);
    co_await child.stdout_().read_line();
    tell("ready");
    try {
      co_await wait_until_cancelled();
    } catch (const brood::cancelled&) {
      tell("not yet");
    }
    for (;;) pause();  // holds the loop: only a second signal ends it
  }
  if (role == "detached") {
    auto child = co_await brood::spawn<wait_for_ever>().detached();
    auto program =
        co_await brood::command("sleep", "1000").detached().stdout_(brood::null).stderr_(brood::null).spawn();
    tell(std::to_string(brood::fork_server_pid()));
    tell(std::to_string(child.pid()));
    tell(std::to_string(program.pid()));
    tell("application done");
  }
  co_return 0;
}

brood::task<> application_without_code() {
  tell("no code");
  co_return;
}

brood::task<int> application_with_argc(int argc, char** argv) { co_return argv[argc] == nullptr ? argc : 0; }

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "void") {
    return brood::run(argc, argv, application_without_code, settings_under_test());
  }
  if (argc > 1 && std::string(argv[1]) == "argc") {
    return brood::run(argc, argv, application_with_argc, settings_under_test());
  }
  brood::options settings = settings_under_test();
  const std::string role = argc > 1 ? argv[1] : "";
  if (role.ends_with("event")) settings.signals = brood::stop_signals::event;
  if (role == "off") settings.signals = brood::stop_signals::off;
  return brood::run(argc, argv, application, settings);
}
