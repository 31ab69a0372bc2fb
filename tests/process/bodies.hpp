// Functions that the children of several tests run.
#pragma once

#include <unistd.h>

#include <csignal>
#include <string>
#include <string_view>

#include "brood/coroutine/error.hpp"
#include "brood/process/current.hpp"

/// Until a signal ends it, or it is asked to stop. SIGTERM is blocked but while it waits, so that it cannot be missed.
inline void wait_for_ever() {
  sigset_t terminate;
  sigset_t before;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, &before);
  while (!brood::this_process().stop_requested()) sigsuspend(&before);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  throw brood::cancelled();
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
