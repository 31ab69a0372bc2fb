// command: programs, what they read and write, how they end and how they are cancelled.
#include "brood/process/command.hpp"

#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/when_any.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/current.hpp"
#include "catch.hpp"
#include "run_clean.hpp"
#include "scale.hpp"

using namespace std::chrono_literals;

namespace {

brood::command shell(std::string script) { return brood::command("sh", "-c", std::move(script)); }

brood::task<> turns(int count) {
  for (int i = 0; i < count; ++i) co_await brood::yield();
}

brood::task<> cancel_program_after(int count, bool output) {
  auto stop = turns(count);
  if (output) {
    auto run = brood::command("sleep", "1000").output();
    co_await brood::when_any(std::move(stop), std::move(run));
  } else {
    auto run = brood::command("sleep", "1000").status();
    co_await brood::when_any(std::move(stop), std::move(run));
  }
}

}  // namespace

TEST_CASE("a program's output, error output and status") {
  run_clean([]() -> brood::task<> {
    const auto result = co_await shell("echo out; echo err >&2; exit 3").output();
    CHECK(result.out == "out\n");
    CHECK(result.err == "err\n");
    CHECK(result.status.exitcode == 3);
    CHECK_FALSE(result.status.success());
  });
}

TEST_CASE("arguments reach a program as they are") {
  run_clean([]() -> brood::task<> {
    const std::vector<std::string> more{"", " two  words ", "$HOME", "new\nline"};
    const auto result = co_await brood::command("printf", "<%s>").arg("a'b").args(more).output();
    CHECK(result.out == "<a'b><>< two  words ><$HOME><new\nline>");
  });
}

TEST_CASE("status waits for the end; a program's name is its own by default") {
  run_clean([]() -> brood::task<> {
    const auto second_status = co_await brood::command("true").status();
    CHECK(second_status.success());
    const auto third_status = co_await brood::command("false").status();
    CHECK(third_status.exitcode == 1);
    const auto fourth_status = co_await shell("kill -TERM $$").status();
    CHECK(fourth_status.exitcode == -SIGTERM);
    auto program = co_await brood::command("sleep", "1000").spawn();
    CHECK(program.name() == "sleep");
    CHECK(program.is_alive());
    program.kill();
    const auto program_status = co_await program.join();
    CHECK(program_status.exitcode == -SIGKILL);
  });
}

TEST_CASE("input is written while output is read: much of both, and of neither") {
  run_clean([]() -> brood::task<> {
    const std::string much(sanitized ? 4'000'000 : 16'000'000, 'i');
    const auto echoed = co_await brood::command("cat").input(much).output();
    CHECK((echoed.out == much));
    const auto both = co_await shell("tee /dev/stderr").input(much).output();
    CHECK((both.out == much));
    CHECK((both.err == much));
    const auto nothing = co_await brood::command("cat").output();
    CHECK(nothing.out.empty());
    const auto empty = co_await brood::command("cat").input("").output();
    CHECK(empty.out.empty());
  });
}

TEST_CASE("a program that does not read its input, or closes it, is no error") {
  run_clean([]() -> brood::task<> {
    const std::string much(4'000'000, 'x');
    const auto ignoring = co_await brood::command("true").input(much).output();
    CHECK(ignoring.status.success());
    const auto closing = co_await shell("exec <&-; echo closed").input(much).output();
    CHECK(closing.out == "closed\n");
    CHECK(closing.status.success());
  });
}

TEST_CASE("streams of a spawned program: write, read_line, read, close") {
  run_clean([]() -> brood::task<> {
    auto sort = co_await brood::command("sort").stdin_(brood::piped).stdout_(brood::piped).spawn();
    co_await sort.stdin_().write("pear\napple\n");
    co_await sort.stdin_().write("fig\n");
    sort.stdin_().close();
    const auto line = co_await sort.stdout_().read_line();
    CHECK(line == "apple");
    const auto second_line = co_await sort.stdout_().read_line();
    CHECK(second_line == "fig");
    const auto bytes = co_await sort.stdout_().read();
    CHECK(bytes == "pear\n");
    const auto second_bytes = co_await sort.stdout_().read();
    CHECK(second_bytes.empty());
    const auto sort_status = co_await sort.join();
    CHECK(sort_status.success());
    CHECK_FALSE(static_cast<bool>(sort.stderr_()));
  });
}

TEST_CASE("an echo server over a program's pipes, stopped by the end of its input") {
  run_clean([]() -> brood::task<> {
    auto cat = co_await brood::command("cat").stdin_(brood::piped).stdout_(brood::piped).spawn();
    for (int i = 0; i < 200; ++i) {
      const std::string line = "line " + std::to_string(i);
      co_await cat.stdin_().write(line + "\n");
      const auto second_line = co_await cat.stdout_().read_line();
      CHECK(second_line == line);
    }
    cat.stdin_().close();
    const auto second_line = co_await cat.stdout_().read_line();
    CHECK(second_line == std::nullopt);
    const auto cat_status = co_await cat.join();
    CHECK(cat_status.success());
  });
}

TEST_CASE("writing to a program that has closed its input fails with closed") {
  run_clean([]() -> brood::task<> {
    auto program = co_await shell("exec <&-; echo closed; sleep 1000")
                       .stdin_(brood::piped)
                       .stdout_(brood::piped)
                       .spawn();
    const auto line = co_await program.stdout_().read_line();
    CHECK(line == "closed");
    CHECK_THROWS_AS(co_await program.stdin_().write("anybody?"), brood::closed);
    program.kill_tree();
    co_await program.join();
  });
}

TEST_CASE("what a program wrote before its end is read after it, nothing is lost") {
  run_clean([]() -> brood::task<> {
    auto program = co_await shell("head -c 60000 /dev/zero").stdout_(brood::piped).spawn();
    const auto program_status = co_await program.join();
    CHECK(program_status.success());
    const auto text = co_await program.stdout_().read_all();
    CHECK(text.size() == 60000);
  });
}

TEST_CASE("a program whose output nobody reads waits: back-pressure") {
  run_clean([]() -> brood::task<> {
    // A pipe holds 64 KiB; whatever else the program has written must be in our own memory.
    auto program = co_await shell("head -c 10000000 /dev/zero; echo done >&2")
                       .stdout_(brood::piped)
                       .stderr_(brood::piped)
                       .spawn();
    const auto bytes = co_await program.stdout_().read(1);
    CHECK(bytes.size() == 1);
    CHECK_THROWS_AS(co_await brood::with_timeout(20ms, program.stderr_().read_line()), brood::timed_out);
    CHECK(program.is_alive());
    const auto text = co_await program.stdout_().read_all();
    CHECK(text.size() == 9'999'999);
    const auto line = co_await program.stderr_().read_line();
    CHECK(line == "done");
    const auto program_status = co_await program.join();
    CHECK(program_status.success());
  });
}

TEST_CASE("a read that is cancelled loses nothing") {
  run_clean([]() -> brood::task<> {
    auto cat = co_await brood::command("cat").stdin_(brood::piped).stdout_(brood::piped).spawn();
    co_await cat.stdin_().write("half a li");
    CHECK_THROWS_AS(co_await brood::with_timeout(5ms, cat.stdout_().read_line()), brood::timed_out);
    co_await cat.stdin_().write("ne\n");
    const auto line = co_await cat.stdout_().read_line();
    CHECK(line == "half a line");
    cat.stdin_().close();
    co_await cat.join();
  });
}

TEST_CASE("a program that writes more than max_output is killed with its tree") {
  run_clean([]() -> brood::task<> {
    CHECK_THROWS_AS(co_await shell("yes | cat").max_output(100'000).output(), std::length_error);
    CHECK_THROWS_AS(co_await shell("yes >&2").max_output(100'000).output(), std::length_error);
    const auto exact = co_await shell("head -c 1000 /dev/zero").max_output(1000).output();
    CHECK(exact.out.size() == 1000);
  });
}

TEST_CASE("the environment and working directory of a program are the parent's of that moment") {
  const std::string before = std::filesystem::current_path().string();
  run_clean([&]() -> brood::task<> {
    setenv("BROOD_TEST_LATE", "set", 1);
    std::filesystem::current_path("/usr");
    const auto seen = co_await shell("echo $BROOD_TEST_LATE; pwd").output();
    CHECK(seen.out == "set\n/usr\n");
    unsetenv("BROOD_TEST_LATE");
    std::filesystem::current_path(before);
    const auto after = co_await shell("echo \"<$BROOD_TEST_LATE>\"; pwd").output();
    CHECK(after.out == "<>\n" + before + "\n");
  });
}

TEST_CASE("a program is searched in the child's PATH") {
  run_clean([]() -> brood::task<> {
    CHECK_THROWS_AS(co_await brood::command("true").env("PATH", "/nowhere").status(), std::system_error);
    const auto seen =
        co_await brood::command("/bin/sh", "-c", "echo $PATH").clear_env().env("PATH", "/bin").output();
    CHECK(seen.out == "/bin\n");
  });
}

TEST_CASE("a status that is no longer wanted ends the program, wherever it is cancelled") {
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < 40; ++i) co_await cancel_program_after(i, false);
    CHECK_THROWS_AS(co_await brood::with_timeout(20ms, brood::command("sleep", "1000").status()),
                    brood::timed_out);
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("an output that is no longer wanted ends the program, wherever it is cancelled") {
  run_clean([]() -> brood::task<> {
    for (int i = 0; i < 40; ++i) co_await cancel_program_after(i, true);
    CHECK_THROWS_AS(co_await brood::with_timeout(20ms, brood::command("sleep", "1000").output()),
                    brood::timed_out);
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("a program that ignores SIGTERM is killed after the grace period when it is cancelled") {
  run_clean([]() -> brood::task<> {
    auto run = shell("trap '' TERM; echo ready; while :; do sleep 1000; done").output();
    CHECK_THROWS_AS(co_await brood::with_timeout(100ms, std::move(run)), brood::timed_out);
    CHECK(brood::active_children().empty());
  });
}

TEST_CASE("closing the handles of a running program does not kill it") {
  run_clean([]() -> brood::task<> {
    std::string line;
    {
      auto program =
          co_await shell("read line; echo got $line").stdin_(brood::piped).stdout_(brood::piped).spawn();
      auto input = program.stdin_();
      auto output = program.stdout_();
      program = co_await brood::command("true").spawn();
      co_await input.write("it\n");
      line = (co_await output.read_line()).value_or("");
    }
    CHECK(line == "got it");
  });
}

TEST_CASE("many programs at once") {
  run_clean([]() -> brood::task<> {
    std::vector<brood::task<brood::command_output>> all;
    const int count = as_many_as_allowed(sanitized ? 50 : 200);
    for (int i = 0; i < count; ++i) all.push_back(brood::command("echo", std::to_string(i)).output());
    const auto results = co_await brood::when_all(std::move(all));
    for (int i = 0; i < count; ++i)
      CHECK(results[static_cast<std::size_t>(i)].out == std::to_string(i) + "\n");
  });
}

TEST_CASE("a command that is assigned to itself while it is set up keeps what it had") {
  run_clean([]() -> brood::task<> {
    brood::command echo("echo", "once");
    echo = std::move(echo).stderr_(brood::null);
    echo = std::move(echo).arg("more");
    const auto result = co_await std::move(echo).output();
    CHECK(result.out == "once more\n");
  });
}
