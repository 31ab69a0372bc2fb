// A host whose standard input is a terminal; the program it runs reads a line from there.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <string>

#include "brood/brood.hpp"
#include "program.hpp"

namespace {

brood::task<int> application() {
  auto read = brood::command("sh", "-c", "read line; echo \"got $line\"").stdin_(brood::inherit);
  const auto result = co_await std::move(read).output();
  tell(result.out + brood::describe(result.status));
  co_return 0;
}

}  // namespace

/// usage: terminal_host TERMINAL
int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]).starts_with("/dev/")) {
    setsid();
    const int terminal = open(argv[1], O_RDWR);  // becomes this session's
    require(terminal >= 0 && dup2(terminal, 0) == 0, "no terminal");
    close(terminal);
  }
  return brood::run(argc, argv, application, settings_under_test());
}
