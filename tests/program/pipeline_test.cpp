// pipeline: programs, functions and coroutines that are joined by pipes.
#include "brood/program/pipeline.hpp"

#include <unistd.h>

#include <cctype>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "brood/coroutine/async_event.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/current.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;

namespace {

brood::command shell(std::string script) { return brood::command("sh", "-c", std::move(script)); }

/// Its process group, to standard error; then what it reads.
brood::command group_and_cat() { return shell("cut -d' ' -f5 /proc/$$/stat >&2; cat"); }

brood::task<> upper(brood::reader in, brood::writer out) {
  for (;;) {
    std::string text = co_await in.read();
    if (text.empty()) co_return;
    for (char& c : text) c = static_cast<char>(std::toupper(c));
    co_await out.write(std::move(text));
  }
}

void double_every_byte(int times) {
  char c;
  while (::read(0, &c, 1) == 1) {
    for (int i = 0; i < times; ++i) {
      if (::write(1, &c, 1) != 1) _exit(1);
    }
  }
}

void write_without_end() {
  for (;;) {
    if (::write(1, "more\n", 5) != 5) _exit(7);
  }
}

bool is_running(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string number, name, state;
  file >> number >> name >> state;
  return file && state != "Z";
}

}  // namespace

TEST_CASE("what one stage writes the next one reads; the statuses of all") {
  run_clean([]() -> brood::task<> {
    const auto counted = co_await (brood::command("printf", "b\\na\\nb\\n") | brood::command("sort") |
                                   brood::command("uniq", "-c") | brood::command("tr", "-d", " "))
                             .output();
    CHECK(counted.out == "1a\n2b\n");
    CHECK(counted.err.empty());
    CHECK(counted.status.success());
    CHECK(counted.status.stages.size() == 4);
    CHECK(brood::describe(counted.status) == "exited with 0");
  });
}

TEST_CASE("a pipeline has failed if any stage has, and the last of those tells how") {
  run_clean([]() -> brood::task<> {
    const auto failed = co_await (shell("exit 3") | shell("exit 4") | brood::command("true")).status();
    CHECK_FALSE(failed.success());
    CHECK(failed.decisive().exitcode == 4);
    CHECK(failed.stages[0].exitcode == 3);
    CHECK(failed.stages[2].exitcode == 0);
    CHECK(brood::describe(failed) == "stage 2 of 3 exited with 4");
    const auto last = co_await (shell("exit 3") | brood::command("true")).pipefail(false).status();
    CHECK(last.success());
    const auto only_last = co_await (brood::command("true") | shell("exit 5")).pipefail(false).status();
    CHECK(only_last.decisive().exitcode == 5);
  });
}

TEST_CASE("a stage that SIGPIPE ends is no failure, but for the last one") {
  run_clean([]() -> brood::task<> {
    const auto first = co_await (brood::command("yes") | brood::command("head", "-n", "1")).output();
    CHECK(first.out == "y\n");
    CHECK(first.status.success());
    CHECK(first.status.stages[0].signal == SIGPIPE);
    const auto last = co_await (brood::command("true") | shell("kill -PIPE $$")).status();
    CHECK_FALSE(last.success());
    CHECK(last.decisive().signal == SIGPIPE);
  });
}

TEST_CASE("all processes of a pipeline are in the group of the first, also when that has ended before") {
  if (!children_are_siblings_of_the_server()) return;
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < 20; ++i) {
      const auto groups =
          co_await (shell("cut -d' ' -f5 /proc/$$/stat >&2") | group_and_cat() | group_and_cat()).output();
      std::istringstream lines(groups.err);
      int first = 0, second = 0, third = 0;
      lines >> first >> second >> third;
      CHECK(first > 0);
      CHECK(second == first);
      CHECK(third == first);
      CHECK(first != getpgrp());
    }
  });
}

TEST_CASE("a stage that cannot start ends the others, and its error is thrown") {
  run_clean([]() -> brood::task<> {
    for (int place = 0; place < 3; ++place) {
      std::vector<brood::command> stages(3, brood::command("sleep", "1000"));
      stages[static_cast<std::size_t>(place)] = brood::command("/no/such/program");
      brood::pipeline joined = stages[0] | stages[1] | stages[2];
      bool refused = false;
      try {
        co_await joined.status();
      } catch (const std::system_error& e) {
        refused = e.code().value() == ENOENT;
        CHECK_THAT(e.what(), contains_text("/no/such/program"));
      }
      CHECK(refused);
      CHECK(brood::active_children().empty());
    }
  });
}

TEST_CASE("a coroutine is not begun if a process cannot start") {
  run_clean([]() -> brood::task<> {
    bool begun = false;
    auto note = [&](brood::reader, brood::writer) -> brood::task<> {
      begun = true;
      co_return;
    };
    brood::pipeline joined = note | brood::command("/no/such/program");
    CHECK_THROWS_AS(co_await joined.status(), std::system_error);
    CHECK_FALSE(begun);
  });
}

TEST_CASE("a cancelled pipeline ends as a whole") {
  run_clean([]() -> brood::task<> {
    auto slow = brood::command("sleep", "1000") | shell("trap '' TERM; sleep 1000; sleep 1000") |
                brood::command("cat");
    CHECK_THROWS_AS(co_await brood::with_timeout(50ms, slow.status()), brood::timed_out);
    CHECK(brood::active_children().empty());
    CHECK_THROWS_AS(co_await brood::with_timeout(0ms, slow.output()), brood::timed_out);
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a coroutine as a stage: in the middle, first and last") {
  run_clean([]() -> brood::task<> {
    const auto middle =
        co_await (brood::command("echo", "loud") | upper | brood::command("tr", "-d", "\n")).output();
    CHECK(middle.out == "LOUD");
    const auto produce = [](brood::reader in, brood::writer out) -> brood::task<> {
      CHECK_FALSE(static_cast<bool>(in));
      for (int i = 0; i < 1000; ++i) co_await out.write(std::to_string(i) + "\n");
    };
    const auto first = co_await (produce | brood::command("tail", "-n", "1")).output();
    CHECK(first.out == "999\n");
    std::string seen;
    const auto consume = [&](brood::reader in, brood::writer) -> brood::task<> {
      seen = co_await in.read_all();
    };
    const auto last = co_await (brood::command("echo", "to us") | consume).status();
    CHECK(last.success());
    CHECK(seen == "to us\n");
    const auto out_of_it = co_await (brood::command("echo", "both") | upper).output();
    CHECK(out_of_it.out == "BOTH\n");
  });
}

TEST_CASE("a coroutine that nobody reads any more is no failure; one that throws ends the pipeline") {
  run_clean([]() -> brood::task<> {
    const auto endless = [](brood::reader, brood::writer out) -> brood::task<> {
      for (;;) co_await out.write("more\n");
    };
    const auto head = co_await (endless | brood::command("head", "-n", "2")).output();
    CHECK(head.out == "more\nmore\n");
    CHECK(head.status.success());
    const auto fail = [](brood::reader in, brood::writer) -> brood::task<> {
      co_await in.read();
      throw std::runtime_error("not this");
    };
    auto failing = brood::command("yes") | fail | brood::command("sleep", "1000");
    CHECK_THROWS_WITH(co_await failing.status(), "not this");
    CHECK(brood::active_children().empty());
    const auto quiet = [](brood::reader, brood::writer) -> brood::task<> {
      co_await brood::sleep_for(1000s);
    };
    auto waiting = quiet | brood::command("cat");
    CHECK_THROWS_AS(co_await brood::with_timeout(20ms, waiting.status()), brood::timed_out);
  });
}

TEST_CASE("a function of the program as a stage") {
  run_clean([]() -> brood::task<> {
    auto doubled =
        brood::command("printf", "ab") | brood::stage<double_every_byte>(3) | brood::command("cat");
    const auto result = co_await doubled.output();
    CHECK(result.out == "aaabbb");
    CHECK(result.status.success());
    const auto again = co_await doubled.output();
    CHECK(again.out == "aaabbb");
    const auto cut =
        co_await (brood::stage<write_without_end>() | brood::command("head", "-n", "1")).output();
    CHECK(cut.out == "more\n");
    CHECK(cut.status.success());
    CHECK(cut.status.stages[0].signal == SIGPIPE);
  });
}

TEST_CASE("input of the whole and of the first command; output within its limit; the errors of all") {
  run_clean([]() -> brood::task<> {
    const auto whole =
        co_await (brood::command("cat") | brood::command("cat")).input("of the whole").output();
    CHECK(whole.out == "of the whole");
    const auto first =
        co_await (brood::command("cat").input("of the first") | brood::command("cat")).output();
    CHECK(first.out == "of the first");
    const auto none = co_await (brood::command("cat") | brood::command("cat")).output();
    CHECK(none.out.empty());
    auto much = brood::command("yes") | brood::command("cat");
    CHECK_THROWS_AS(co_await much.max_output(100'000).output(), std::length_error);
    CHECK(brood::active_children().empty());
    const auto errors =
        co_await (shell("echo one >&2; echo on") | shell("read line; echo two >&2") | brood::command("cat"))
            .output();
    CHECK(errors.err == "one\ntwo\n");
    auto nobody_reads = brood::command("true") | brood::command("yes");
    CHECK_THROWS_AS(co_await nobody_reads.stdout_(brood::piped).status(), std::logic_error);
  });
}

TEST_CASE("what a stage has set itself wins, as in a shell") {
  const auto path = std::filesystem::temp_directory_path() / ("brood-pipeline-" + std::to_string(getpid()));
  run_clean([&]() -> brood::task<> {
    const auto result =
        co_await (brood::command("echo", "to the file").stdout_(path) | brood::command("cat")).output();
    CHECK(result.out.empty());
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    CHECK(line == "to the file");
    const auto merged =
        co_await (shell("echo out; echo err >&2").stderr_(brood::to_stdout) | brood::command("cat")).output();
    CHECK(merged.out == "out\nerr\n");
  });
  std::filesystem::remove(path);
}

TEST_CASE("a pipeline that runs: its streams, its processes, its end") {
  run_clean([]() -> brood::task<> {
    auto running = co_await (brood::command("cat") | upper | brood::command("cat"))
                       .stdin_(brood::piped)
                       .stdout_(brood::piped)
                       .spawn();
    CHECK(running.processes().size() == 2);
    co_await running.stdin_().write("there and back\n");
    const auto line = co_await running.stdout_().read_line();
    CHECK(line == "THERE AND BACK");
    running.stdin_().close();
    const auto status = co_await running.join();
    CHECK(status.success());
    CHECK(status.stages.size() == 3);
    const auto again = co_await running.join();
    CHECK(again.success());
  });
}

TEST_CASE("whichever stage is killed, the others end and the statuses tell which it was") {
  run_clean([]() -> brood::task<> {
    for (std::size_t killed = 0; killed < 3; ++killed) {
      auto running = co_await (brood::command("yes") | brood::command("cat") | brood::command("cat"))
                         .stdout_(brood::null)
                         .spawn();
      running.processes()[killed].kill();
      const auto status = co_await running.join();
      CHECK_FALSE(status.success());
      CHECK(status.stages[killed].signal == SIGKILL);
      for (std::size_t i = 0; i < killed; ++i) CHECK(status.stages[i].signal == SIGPIPE);
      for (std::size_t i = killed + 1; i < 3; ++i) CHECK(status.stages[i].success());
    }
    auto whole = co_await (brood::command("sleep", "1000") | brood::command("sleep", "1000")).spawn();
    whole.terminate();
    const auto status = co_await whole.join();
    CHECK(status.stages[0].signal == SIGTERM);
    CHECK(status.stages[1].signal == SIGTERM);
  });
}

TEST_CASE("a pipeline whose handle is dropped runs on, and one with a coroutine as well") {
  run_clean([]() -> brood::task<> {
    std::string seen;
    brood::async_event came;
    const auto consume = [&](brood::reader in, brood::writer) -> brood::task<> {
      seen = co_await in.read_all();
      came.set();
    };
    co_await (brood::command("echo", "later") | consume).spawn();
    co_await came.wait();
    CHECK(seen == "later\n");
  });
}

TEST_CASE("a pipeline's deadline ends each of its processes") {
  run_clean([]() -> brood::task<> {
    const auto late = co_await (shell("sleep 1000; :") | shell("sleep 1000; :")).deadline(30ms).status();
    CHECK(late.stages[0].deadline_passed);
    CHECK(late.stages[1].deadline_passed);
    CHECK_FALSE(late.success());
  });
}

TEST_CASE("what the processes of a pipeline leave in their group is gone with it") {
  if (!children_are_siblings_of_the_server()) return;
  run_clean([]() -> brood::task<> {
    const auto result =
        co_await (shell("(exec >&- 2>&- sleep 1000) & echo $!") | brood::command("cat")).output();
    const std::string left = result.out.substr(0, result.out.find('\n'));
    while (is_running(left)) co_await brood::yield();
    CHECK(result.status.success());
  });
}

TEST_CASE("twenty stages carry every byte") {
  run_clean([]() -> brood::task<> {
    brood::pipeline many = brood::command("head", "-c", "20000000", "/dev/zero");
    for (int i = 0; i < 18; ++i) many = many | brood::command("cat");
    many = many | brood::command("wc", "-c");
    const auto counted = co_await many.output();
    CHECK(counted.out == "20000000\n");
    CHECK(counted.status.stages.size() == 20);
    CHECK(counted.status.success());
  });
}
