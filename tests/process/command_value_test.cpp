// A command as a value: set up under a name, copied, run again, read from a line of text and written as one.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "brood/coroutine/when_all.hpp"
#include "brood/process/command.hpp"
#include "brood/process/spawn.hpp"
#include "catch.hpp"
#include "run_clean.hpp"

namespace {

using words = std::vector<std::string>;

words parsed(const std::string& line) { return brood::command::parse(line).words(); }

int refusal_of(brood::command& refused) {
  int error = 0;
  run_clean([&]() -> brood::task<> {
    try {
      co_await refused.status();
    } catch (const std::system_error& e) {
      error = e.code().value();
    }
  });
  return error;
}

int twice(int x) { return 2 * x; }

}  // namespace

TEST_CASE("setters of a command with a name, which chain, and leave it the same object") {
  run_clean([]() -> brood::task<> {
    brood::command echo("sh", "-c", "echo $1 $A $B; cat", "sh");
    echo.arg("one").env("A", "a").stderr_(brood::null);
    echo.env("B", "b");
    CHECK(&echo.input("text") == &echo);
    const auto result = co_await echo.output();
    CHECK(result.out == "one a b\ntext");
    CHECK(result.err.empty());
    CHECK_FALSE(result.leaked);
  });
}

TEST_CASE("a command that has a name runs again and again; a copy is a command of its own") {
  run_clean([]() -> brood::task<> {
    brood::command echo("echo", "x");
    const auto first = co_await echo.output();
    const auto second = co_await echo.output();
    CHECK(first.out == "x\n");
    CHECK(second.out == first.out);
    brood::command copy = echo;
    copy.arg("y");
    const auto of_copy = co_await copy.output();
    const auto of_original = co_await std::as_const(echo).output();
    CHECK(of_copy.out == "x y\n");
    CHECK(of_original.out == "x\n");
    const auto status = co_await echo.stdout_(brood::null).status();
    CHECK(status.success());
    auto running = co_await echo.spawn();
    const auto ended = co_await running.join();
    CHECK(ended.success());
  });
}

TEST_CASE("what runs is what the command was when it was asked to run") {
  run_clean([]() -> brood::task<> {
    brood::command echo("echo");
    auto before = echo.output();
    echo.arg("later");
    auto after = echo.output();
    auto [first, second] = co_await brood::when_all(std::move(before), std::move(after));
    CHECK(first.out == "\n");
    CHECK(second.out == "later\n");
  });
}

TEST_CASE("a command without a program is refused by the parent") {
  brood::command empty;
  CHECK(refusal_of(empty) == EINVAL);
  brood::command nameless("");
  CHECK(refusal_of(nameless) == EINVAL);
  brood::command moved("true");
  const brood::command taken = std::move(moved);
  CHECK(refusal_of(moved) == EINVAL);
  CHECK(taken.words() == words{"true"});
}

TEST_CASE("a stream that nobody would read is refused by status") {
  run_clean([]() -> brood::task<> {
    const auto much = brood::command("head", "-c", "1000000", "/dev/zero").stdout_(brood::piped);
    CHECK_THROWS_AS(co_await much.status(), std::logic_error);
    const auto errors = brood::command("true").stderr_(brood::piped);
    CHECK_THROWS_AS(co_await errors.status(), std::logic_error);
    const auto input = brood::command("cat").stdin_(brood::piped);
    CHECK_THROWS_AS(co_await input.status(), std::logic_error);
    const auto result = co_await much.output();
    CHECK(result.out.size() == 1'000'000);
  });
}

TEST_CASE("variables: one, several, taken away; the last one for a name counts") {
  setenv("BROOD_TEST_KEPT", "kept", 1);
  run_clean([]() -> brood::task<> {
    const brood::command print("sh", "-c", "echo ${A-none} ${B-none} ${BROOD_TEST_KEPT-none}");
    const std::map<std::string, std::string> several{{"A", "1"}, {"B", "2"}};
    const auto both = co_await brood::command(print).env(several).output();
    CHECK(both.out == "1 2 kept\n");
    const auto taken = co_await brood::command(print).env(several).unset_env("A").output();
    CHECK(taken.out == "none 2 kept\n");
    const auto again =
        co_await brood::command(print).unset_env("A").env("A", "3").unset_env("BROOD_TEST_KEPT").output();
    CHECK(again.out == "3 none none\n");
    setenv("BROOD_TEST_KEPT", "changed", 1);  // since the family began
    const auto changed = co_await brood::command(print).unset_env("BROOD_TEST_KEPT").output();
    CHECK(changed.out == "none none none\n");
  });
  unsetenv("BROOD_TEST_KEPT");
}

TEST_CASE("an operation that spawns a function has setters under a name too") {
  run_clean([]() -> brood::task<> {
    auto operation = brood::spawn<twice>(21);
    operation.name("twice").nice(1).start_method(brood::start_method::fork_server);
    auto child = co_await std::move(operation);
    CHECK(child.name() == "twice");
    const int result = co_await child.result();
    CHECK(result == 42);
  });
}

TEST_CASE("a line is read as a POSIX shell reads words") {
  CHECK(parsed("a 'b c'") == words{"a", "b c"});
  CHECK(parsed("  grep\t-n  \"x  y\" file\\ name ") == words{"grep", "-n", "x  y", "file name"});
  CHECK(parsed("echo \"a\\\"b\\\\c\\d\\$e\" 'it'\\''s'") == words{"echo", "a\"b\\c\\d$e", "it's"});
  CHECK(parsed("echo '' \"\" a''b") == words{"echo", "", "", "ab"});
  CHECK(parsed("echo one # two\n") == words{"echo", "one"});
  CHECK(parsed("echo a#b \\#c") == words{"echo", "a#b", "#c"});
  CHECK(parsed("echo con\\\ntinued \"also \\\nhere\"") == words{"echo", "continued", "also here"});
  CHECK(parsed("echo 5$ \"6$\" '$HOME' \\$HOME \\~ '*'") ==
        words{"echo", "5$", "6$", "$HOME", "$HOME", "~", "*"});
  CHECK(parsed("[ -e / ]") == words{"[", "-e", "/", "]"});
  CHECK(parsed("echo if A=b a~") == words{"echo", "if", "A=b", "a~"});
  CHECK(parsed("'A=b' 'if'") == words{"A=b", "if"});
}

TEST_CASE("a line that needs a shell is refused, with the place") {
  for (const char* line :
       {"a | b",      "a && b",         "a; b",        "a &",          "a > f", "a < f", "(a)",
        "echo $HOME", "echo \"$HOME\"", "echo `a`",    "echo \"`a`\"", "ls *",  "ls ?",  "ls [ab]",
        "ls ~",       "A=b c",          "if a",        "! a",          "{ a",   "a\nb",  "echo $(a)",
        "echo $'a'",  "echo 'open",     "echo \"open", "echo \\",      "",      "   ",   "# only"}) {
    INFO(line);
    CHECK_THROWS_AS(brood::command::parse(line), std::invalid_argument);
  }
  try {
    brood::command::parse("cat file | sort");
    FAIL("accepted");
  } catch (const std::invalid_argument& e) {
    CHECK(std::string(e.what()).find("\"|\" at 9 of the line needs a shell") != std::string::npos);
  }
}

TEST_CASE("words written as a line are the same words to the shell and to parse") {
  const words hard{"printf", "<%s>", "",     "it's", "a b", "$HOME", "new\nline", "*",
                   "~",      "#",    "-x=1", "\\",   "\"",  "if",    "A=b",       "!"};
  const std::string line = brood::shell_quote(hard);
  CHECK(parsed(line) == hard);
  CHECK(brood::shell_quote({"ls", "-l", "a/b.c"}) == "ls -l a/b.c");
  CHECK(parsed(brood::shell_quote({"A=b", "c"})) == words{"A=b", "c"});
  run_clean([&]() -> brood::task<> {
    const auto by_shell = co_await brood::command("sh", "-c", line).output();
    const auto directly = co_await brood::command::parse(line).output();
    CHECK(by_shell.out == directly.out);
    CHECK(by_shell.out.find("<it's>") != std::string::npos);
  });
}

TEST_CASE("which finds what a command would run") {
  const std::string sh = brood::which("sh");
  CHECK(access(sh.c_str(), X_OK) == 0);
  CHECK(brood::which("/bin/sh") == "/bin/sh");
  CHECK(brood::which("no such program").empty());
  CHECK(brood::which("").empty());
  CHECK(brood::which("/").empty());
  CHECK(brood::which("/etc/passwd").empty());
}
