// Functions that the children of several tests run.
#pragma once

#include <unistd.h>

#include <string>
#include <string_view>

inline void wait_for_ever() {
  for (;;) pause();
}

/// Until the parent closes the child's piped standard input.
inline void wait_for_end_of_input() {
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
}

/// One line on standard output, at once.
inline void say(std::string line) {
  line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t written = write(1, rest.data(), rest.size());
    if (written < 0) _exit(99);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

inline void say_ready_and_wait() {
  say("ready");
  wait_for_ever();
}
