// A host that deals with SIGCHLD, or waits for children, in its own way loses none of our statuses.
#include "catch.hpp"
#include "helper_program.hpp"

namespace {

void expect_all_known(const std::string& role) {
  const auto result = run_helper("signal_host", {role});
  CHECK(result.output == "all known\n");
  CHECK(result.code == 0);
}

}  // namespace

TEST_CASE("a host that ignores SIGCHLD loses no status") { expect_all_known("ignore"); }

TEST_CASE("a host that handles SIGCHLD with waitpid(-1) loses no status") { expect_all_known("handle"); }

TEST_CASE("a host that calls waitpid(-1) in a thread loses no status") { expect_all_known("steal"); }

TEST_CASE("children start with the mask of init and default actions") { expect_all_known("block"); }
