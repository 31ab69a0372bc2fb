// Programs that read the terminal.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "catch.hpp"
#include "helper_program.hpp"

TEST_CASE("a program reads a line from its parent's terminal, as in a shell") {
  const brood::unique_fd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  REQUIRE(master);
  REQUIRE(grantpt(master.get()) == 0);
  REQUIRE(unlockpt(master.get()) == 0);
  REQUIRE(write(master.get(), "typed\n", 6) == 6);
  const auto result = run_helper("terminal_host", {ptsname(master.get())});
  CHECK(result.output == "got typed\nexited with 0\n");
  CHECK(result.code == 0);
}
