// Hosts where something is missing that others have: everything works without it, or a message says what is wanting.
#include "catch.hpp"
#include "helper_program.hpp"
#include "orphans.hpp"

TEST_CASE("a sandbox that refuses clone3 keeps no process model from working") {
  for (const char* error : {"ENOSYS", "EPERM"}) {
    const orphanage orphans;
    const auto result = run_helper("hampered_host", {error});
    CHECK(result.output == "survived\n");
    CHECK(result.code == 0);
    CHECK(orphans.all_gone());
  }
}

TEST_CASE("without /proc everything works") {
  const orphanage orphans;
  const auto result = run_helper("hampered_host", {"proc"});
  CHECK(result.output == "survived\n");
  CHECK(result.code == 0);
  CHECK(orphans.all_gone());
}

TEST_CASE("with twelve descriptors a program works or says what is wanting") {
  const auto result = run_helper("hampered_host", {"few"});
  INFO(result.output);
  CHECK((result.code == 0 || result.code == 1));
  const bool survived = result.output.find("survived") != std::string::npos;
  CHECK((survived || result.output.find("Too many open files") != std::string::npos));
}

TEST_CASE("a host that has closed our descriptors is told so") {
  const orphanage orphans;
  const auto result = run_helper("hampered_host", {"closed"});
  CHECK_THAT(result.output, contains_text("descriptors have been closed"));
  CHECK(result.code == 1);
  CHECK(orphans.all_gone());
}
