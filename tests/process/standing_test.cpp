// Children are what their parent is at the moment of the spawn, whatever it was when the family began.
#include <csignal>

#include "catch.hpp"
#include "helper_program.hpp"
#include "orphans.hpp"

namespace {

void expect_survival(const std::string& role) {
  const orphanage orphans;
  const auto result = run_helper("changing_host", {role});
  CHECK(result.output == "survived\n");
  CHECK(result.code == 0);
  CHECK(orphans.all_gone());
}

}  // namespace

TEST_CASE("children of a host that has given up its privileges do not have them") { expect_survival("drop"); }
TEST_CASE("a host that changes its user to and fro gets children of the user of the moment") {
  expect_survival("back");
}
TEST_CASE("umask and limits go to children without another fork server") { expect_survival("limits"); }
TEST_CASE("children are in the namespaces of their parent") { expect_survival("namespace"); }
TEST_CASE("capabilities that root has given up do not come back with a fresh image") {
  const auto result = run_helper("changing_host", {"capabilities"});
  CHECK(result.output == "survived\n");
}
TEST_CASE("groups, the bounding set or no_new_privs alone make children of another kind") {
  expect_survival("one");
}
TEST_CASE("an heir that was made just before its server was retired is reaped") { expect_survival("heir"); }
TEST_CASE("a refused signal is an error, and a deadline that cannot kill does not wait for ever") {
  const orphanage orphans;
  const auto result = run_helper("changing_host", {"kill"});
  CHECK_THAT(result.output, contains_text("survived\n"));
  CHECK(result.code == 0);
  CHECK(orphans.all_gone());
}
TEST_CASE("children outlive the thread that called init") { expect_survival("thread"); }
TEST_CASE("too many descriptors under way cost neither a spawn nor a result") {
  expect_survival("in_flight");
}

TEST_CASE("SIGTERM ends run although the fork server is stopped") {
  const orphanage orphans;
  helper_program program("changing_host", {"stopped"});
  REQUIRE(program.read_line() == "ready");
  program.kill(SIGTERM);
  CHECK(program.wait() == 128 + SIGTERM);
  CHECK(orphans.all_gone());
}
