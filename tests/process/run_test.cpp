// run: an application's whole life, its code, its children's ends, its signals.
#include <poll.h>
#include <sys/wait.h>

#include <csignal>

#include "catch.hpp"
#include "helper_program.hpp"
#include "orphans.hpp"
#include "system/pidfd.hpp"

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void expect_end_by(int signal, const std::string& role, bool tells_cancelled) {
  const orphanage orphans;
  helper_program program("run_app", {role});
  REQUIRE(program.read_line() == "ready");
  program.kill(signal);
  const std::string rest = program.read_all();
  CHECK(contains(rest, "cancelled") == tells_cancelled);
  CHECK(program.wait() == 128 + signal);
  CHECK(orphans.all_gone());
}

}  // namespace

TEST_CASE("an application's code is the program's") {
  CHECK(run_helper("run_app", {"code", "0"}).code == 0);
  CHECK(run_helper("run_app", {"code", "7"}).code == 7);
  const auto nothing = run_helper("run_app", {"void"});
  CHECK(nothing.code == 0);
  CHECK(nothing.output == "no code\n");
}

TEST_CASE("an exception that leaves the application is printed and gives 1") {
  const auto result = run_helper("run_app", {"throw"});
  CHECK(result.code == 1);
  CHECK_THAT(result.output, contains_text("on purpose") && contains_text("runtime_error"));
}

TEST_CASE("an application gets its command line") {
  const auto result = run_helper("run_app", {"words", "one", "two words"});
  CHECK(result.code == 0);
  CHECK(result.output == helper_program::path_of("run_app") + "\nwords\none\ntwo words\n");
}

TEST_CASE("an application gets its command line as main does") {
  CHECK(run_helper("run_app", {"argc", "one", "two words"}).code == 4);
}

TEST_CASE("children that are no daemons are joined at the end") {
  const auto result = run_helper("run_app", {"join"});
  CHECK(result.code == 0);
  CHECK(result.output == "application done\nchild done\n");
}

TEST_CASE("daemons are terminated at the end, after the application and beside the joining of others") {
  const orphanage orphans;
  const auto result = run_helper("run_app", {"daemon"});
  CHECK(result.code == 0);
  CHECK(contains(result.output, "application done\n"));
  CHECK(contains(result.output, "child done\n"));
  CHECK(contains(result.output, "terminated\n"));
  CHECK(orphans.all_gone());
}

TEST_CASE("SIGINT and SIGTERM cancel the application and then its children") {
  const int signals[] = {SIGINT, SIGTERM};
  for (const int signal : signals) {
    expect_end_by(signal, "wait", true);
    expect_end_by(signal, "wait_child", false);
  }
}

TEST_CASE("an application that is cancelled by a signal can still clean up") {
  helper_program program("run_app", {"cancel"});
  REQUIRE(program.read_line() == "ready");
  program.kill(SIGTERM);
  CHECK(program.read_all() == "asked\ncancelled\ncleaned up\n");
  CHECK(program.wait() == 128 + SIGTERM);
}

TEST_CASE("a signal can be an event, after which the application ends by itself") {
  helper_program program("run_app", {"event"});
  REQUIRE(program.read_line() == "ready");
  program.kill(SIGTERM);
  CHECK(program.read_all() == "asked\n");
  CHECK(program.wait() == 3);
}

TEST_CASE("where the first signal is an event the second cancels") {
  helper_program program("run_app", {"busy_event"});
  REQUIRE(program.read_line() == "ready");
  program.kill(SIGINT);
  REQUIRE(program.read_line() == "asked");
  program.kill(SIGTERM);
  CHECK(program.read_all() == "cancelled\ncleaned up\n");
  CHECK(program.wait() == 128 + SIGTERM);
}

TEST_CASE("signals can be left to the application") {
  helper_program program("run_app", {"off"});
  REQUIRE(program.read_line() == "ready");
  program.kill(SIGTERM);
  CHECK(program.wait() == -SIGTERM);
}

TEST_CASE("a second signal ends the program at once, and its children with it") {
  const orphanage orphans;
  helper_program program("run_app", {"stubborn"});
  REQUIRE(program.read_line() == "ready");
  program.kill(SIGINT);
  REQUIRE(program.read_line() == "cancelled");
  REQUIRE(program.read_line() == "not yet");
  program.kill(SIGINT);
  CHECK(program.wait() == -SIGINT);
  CHECK(orphans.all_gone());
}

TEST_CASE("detached children survive the application, functions and programs") {
  const orphanage orphans;
  helper_program program("run_app", {"detached"});
  const pid_t server = std::stoi(program.read_line().value_or("0"));
  const pid_t function = std::stoi(program.read_line().value_or("0"));
  const pid_t command = std::stoi(program.read_line().value_or("0"));
  CHECK(program.read_line() == "application done");
  CHECK(program.wait() == 0);
  for (const pid_t survivor : {function, command}) {
    REQUIRE(survivor > 0);
    const brood::unique_fd process = brood::sys::open_process(survivor);
    CHECK_FALSE(brood::sys::has_ended(process.get()));
    kill(survivor, SIGKILL);
    pollfd end{process.get(), POLLIN, 0};
    CHECK(poll(&end, 1, 30'000) == 1);
    waitpid(survivor, nullptr, __WALL);  // unless its parent is the server, which does it then
  }
  // It took care of what they held, and so stayed as long as they.
  CHECK(waitpid(server, nullptr, __WALL) == server);
  CHECK(orphans.all_gone());
}
