// Looks at what is behind the numbers of the standard streams. usage: stream_host REPORT [late]
// In this process, in its fork server, in a child, and in its child; writes "ok" to the file REPORT, or what it found. With
// `late` it closes its streams only when the family has begun, and its child does so too.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "brood/brood.hpp"
#include "program.hpp"

namespace {

/// Descriptors of ours below 3: what they are. Those of a closed stream are none.
std::string found_in(const std::string& process) {
  std::string found;
  for (int number = 0; number < 3; ++number) {
    std::error_code error;
    const auto link =
        std::filesystem::read_symlink("/proc/" + process + "/fd/" + std::to_string(number), error);
    if (error || link.native().starts_with("/")) continue;
    found += process + " has " + link.native() + " as " + std::to_string(number) + "; ";
  }
  return found;
}

void close_streams() {
  for (int number = 0; number < 3; ++number) close(number);
}

brood::task<std::string> look(bool late, int levels) {
  if (late) close_streams();
  brood::queue<int> numbers(4);
  co_await numbers.put(1);
  std::string found;
  if (levels > 0) {
    auto child = co_await brood::spawn<look>(late, levels - 1);
    const auto status = co_await brood::command("true").status();
    if (!status.success()) found += "a program failed; ";
    found += found_in(std::to_string(brood::fork_server_pid()));
    found += co_await child.result();
  }
  for (int i = 0; i < 1000; ++i) std::puts("what a host prints reaches no memory of the family");
  std::fflush(stdout);
  const int one = co_await numbers.get();
  if (one != 1) found += "a queue was overwritten; ";
  found += found_in("self");
  co_return found;
}

}  // namespace

int main(int argc, char** argv) {
  brood::init(argc, argv, settings_under_test());
  const bool late = argc == 3;
  std::string found;
  try {
    found = brood::sync_wait(look(late, 2));
  } catch (const std::exception& e) {
    found = e.what();
  }
  std::ofstream(argv[1]) << (found.empty() ? "ok" : found);
}
