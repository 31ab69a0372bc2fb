// init: what it refuses, and what spawning without it says.
#include "brood/process/run.hpp"

#include "catch.hpp"
#include "helper_program.hpp"

TEST_CASE("init is refused a second time") {
  const auto twice = run_helper("init_misuse", {"twice"});
  CHECK(twice.output == "refused: brood::init was called twice\nspawned\n");
  CHECK(twice.code == 0);
}

TEST_CASE("applications run after init, one after the other, but not with other settings") {
  const auto run = run_helper("init_misuse", {"run_after_init"});
  CHECK_THAT(run.output, contains_text("began its family with other settings"));
  CHECK_THAT(run.output, contains_text("spawned\n"));
  CHECK(run.code == 0);
}

TEST_CASE("an application runs on the loop that sync_wait has made before") {
  const auto run = run_helper("init_misuse", {"run_after_sync_wait"});
  CHECK(run.output == "waited\nspawned\n");
  CHECK(run.code == 0);
}

TEST_CASE("spawning before init says what to do") {
  const auto before = run_helper("init_misuse", {"before"});
  CHECK_THAT(before.output,
             contains_text("refused: brood: spawning needs the fork server: call brood::init"));
  CHECK_THAT(before.output, contains_text("spawned\n"));
  CHECK(before.code == 0);
}

TEST_CASE("spawning from a static initialiser is refused: no fork bomb") {
  const auto result = run_helper("static_spawn");
  CHECK_THAT(result.output, contains_text("refused: brood: spawning needs the fork server"));
  CHECK_THAT(result.output, contains_text("spawned\n"));
  CHECK(result.code == 0);
}
