// Programs that are started without standard streams, or close them: what they print goes nowhere, least of all into
// descriptors of the library.
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "catch.hpp"
#include "helper_program.hpp"
#include "orphans.hpp"

namespace {

std::string report_of(const std::vector<int>& closed, bool late) {
  const auto report = std::filesystem::temp_directory_path() / ("brood-streams-" + std::to_string(getpid()));
  const std::string path = helper_program::path_of("stream_host");
  const pid_t program = fork();
  if (program == 0) {
    const int null = open("/dev/null", O_RDWR);
    for (int number = 0; number < 3; ++number) dup2(null, number);
    close(null);
    for (const int number : closed) close(number);
    execl(path.c_str(), path.c_str(), report.c_str(), late ? "late" : nullptr, nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(program, &status, 0);
  std::ostringstream text;
  text << std::ifstream(report).rdbuf();
  std::filesystem::remove(report);
  return status == 0 ? text.str() : "status " + std::to_string(status) + ": " + text.str();
}

}  // namespace

TEST_CASE("a program that is started with streams closed does not get our files under their numbers") {
  const orphanage orphans;
  const std::vector<std::vector<int>> all{{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 1, 2}};
  for (const auto& closed : all) CHECK(report_of(closed, false) == "ok");
  CHECK(orphans.all_gone());
}

TEST_CASE("a program that closes its streams later does not get our files under their numbers") {
  const orphanage orphans;
  CHECK(report_of({}, true) == "ok");
  CHECK(orphans.all_gone());
}
