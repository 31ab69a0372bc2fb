// exit_status: how children end, what they used, and what runs at their end.
#include "brood/process/exit_status.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "bodies.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/process/current.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

namespace {

int exit_with(int code) { brood::exit(code); }
void exit_bypassing_everything(int code) { _exit(code); }
void raise_signal(int number) { raise(number); }
void abort_without_core() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  std::abort();
}

brood::task<int> exit_inside_a_coroutine(int code) {
  co_await brood::yield();
  brood::exit(code);
}

std::size_t touch(std::size_t bytes) {
  std::vector<char> memory(bytes, 1);
  const auto start = std::clock();
  while (std::clock() - start < CLOCKS_PER_SEC / 100) {
  }
  std::size_t sum = 0;
  for (const char c : memory) sum += static_cast<std::size_t>(c);
  return sum;
}

int say_at_exit(int code) {
  brood::at_exit([] { say("registered first"); });
  brood::at_exit([] { say("registered last"); });
  if (code != 0) brood::exit(code);
  return 0;
}

void print_buffered() {
  std::printf("buffered");
  brood::exit(0);
}

/// To a stream of the child's own, which it never closes: bytes, then wide characters, or while a second thread runs.
void write_and_leave_open(const std::string& path, bool wide) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (wide) {
    std::fwprintf(file, L"buffered");
  } else {
    std::fprintf(file, "buffered");
  }
  brood::exit(0);
}

void write_beside_a_thread(const std::string& path) {
  static std::thread* const other = new std::thread([] {
    for (;;) pause();
  });
  static_cast<void>(other);
  write_and_leave_open(path, false);
}

void throw_with_hook() {
  brood::at_exit([] { say("hook"); });
  throw std::runtime_error("thrown");
}

void hooks_of_grandchild() {
  brood::at_exit([] { say("child"); });
  brood::sync_wait([]() -> brood::task<> {
    auto grandchild = co_await brood::spawn<say_at_exit>(0);
    co_await grandchild.join();
  }());
}

}  // namespace

TEST_CASE("exit codes are the child's own") {
  run_clean([]() -> brood::task<> {
    const int codes[] = {0, 1, 2, 7, 255};
    for (const int code : codes) {
      auto child = co_await brood::spawn<exit_with>(code);
      const auto status = co_await child.join();
      CHECK(status.exitcode == code);
      CHECK(status.signal == 0);
      CHECK(status.known);
      CHECK(status.success() == (code == 0));
    }
    auto bypassing = co_await brood::spawn<exit_bypassing_everything>(9);
    const auto bypassing_status = co_await bypassing.join();
    CHECK(bypassing_status.exitcode == 9);
    auto in_coroutine = co_await brood::spawn<exit_inside_a_coroutine>(4);
    const auto in_coroutine_status = co_await in_coroutine.join();
    CHECK(in_coroutine_status.exitcode == 4);
  });
}

TEST_CASE("a child that exits without a result has died, also with code 0") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<exit_with>(0);
    CHECK_THROWS_AS(co_await child.result(), brood::child_died);
    auto other = co_await brood::spawn<exit_with>(5).name("quitter");
    try {
      co_await other.result();
      FAIL("a result of a child that gave none");
    } catch (const brood::child_died& e) {
      CHECK(e.status().exitcode == 5);
      CHECK(e.pid() == other.pid());
      CHECK_THAT(e.what(), contains_text("quitter") && contains_text("exited with 5"));
    }
  });
}

TEST_CASE("a child that a signal ended tells which, by its own hand too") {
  run_clean([]() -> brood::task<> {
    const int signals[] = {SIGTERM, SIGKILL, SIGUSR2, SIGALRM, SIGHUP, SIGPIPE};
    for (const int number : signals) {
      auto child = co_await brood::spawn<raise_signal>(number);
      const auto status = co_await child.join();
      CHECK(status.exitcode == -number);
      CHECK(status.signal == number);
      CHECK_THROWS_AS(co_await child.result(), brood::child_died);
    }
    auto aborted = co_await brood::spawn<abort_without_core>();
    const auto status = co_await aborted.join();
    CHECK(status.signal == SIGABRT);
    CHECK_FALSE(status.core_dumped);
  });
}

TEST_CASE("a status says what the child used") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<touch>(std::size_t{64} << 20);
    co_await child.result();
    const auto status = co_await child.join();
    CHECK(status.usage.peak_memory >= (std::size_t{64} << 20));
    CHECK(status.usage.user_time + status.usage.system_time >= std::chrono::milliseconds(5));
    CHECK(status.usage.minor_faults > 0);
  });
}

TEST_CASE("describe puts a status into words") {
  brood::exit_status status;
  status.exitcode = 3;
  CHECK(brood::describe(status) == "exited with 3");
  status.exitcode = -SIGKILL;
  status.signal = SIGKILL;
  CHECK(brood::describe(status) == "was killed by SIGKILL (9)");
  status.core_dumped = true;
  status.deadline_passed = true;
  CHECK(brood::describe(status) == "was killed by SIGKILL (9), core dumped when its deadline passed");
  status.known = false;
  CHECK_FALSE(status.success());
  CHECK_THAT(brood::describe(status), contains_text("somebody else"));
}

TEST_CASE("hooks run at the end of a child, last registered first, once") {
  run_clean([]() -> brood::task<> {
    const int codes[] = {0, 6};
    for (const int code : codes) {
      auto child = co_await brood::spawn<say_at_exit>(code).stdout_(brood::piped);
      const auto text = co_await child.stdout_().read_all();
      CHECK(text == "registered last\nregistered first\n");
      const auto child_status = co_await child.join();
      CHECK(child_status.exitcode == code);
    }
    auto throwing = co_await brood::spawn<throw_with_hook>().stdout_(brood::piped).stderr_(brood::null);
    const auto text = co_await throwing.stdout_().read_all();
    CHECK(text == "hook\n");
    CHECK_THROWS_AS(co_await throwing.result(), brood::remote_error);
  });
}

TEST_CASE("a child's hooks are not run by its children that are clones of it a second time") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<hooks_of_grandchild>().stdout_(brood::piped);
    const std::string said = co_await child.stdout_().read_all();
    co_await child.result();
    CHECK_THAT(said, contains_text("registered last\nregistered first\n"));
    CHECK(said.substr(said.size() - 6) == "child\n");
  });
}

TEST_CASE("what a child has printed is flushed at its end") {
  run_clean([]() -> brood::task<> {
    auto child = co_await brood::spawn<print_buffered>().stdout_(brood::piped);
    const auto text = co_await child.stdout_().read_all();
    CHECK(text == "buffered");
    co_await child.join();
  });
}

TEST_CASE(
    "also what it has written to files that it left open, in bytes or wide characters, and beside threads") {
  const auto path = std::filesystem::temp_directory_path() / ("brood-flush-" + std::to_string(getpid()));
  const auto written = [&] {
    std::ifstream file(path);
    std::string text;
    std::getline(file, text);
    return text;
  };
  run_clean([&]() -> brood::task<> {
    for (const bool wide : {false, true}) {
      auto child = co_await brood::spawn<write_and_leave_open>(path.string(), bool{wide});
      co_await child.join();
      CHECK(written() == "buffered");
    }
    auto child = co_await brood::spawn<write_beside_a_thread>(path.string());
    co_await child.join();
    CHECK(written() == "buffered");
  });
  std::filesystem::remove(path);
}
