// A fresh image of a program, started without copying the caller.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <span>
#include <utility>

namespace brood::sys {

struct image {
  const char* path;
  char* const* arguments;
  char* const* environment;
  const char* directory;                             // null: the caller's
  std::span<const std::pair<int, int>> descriptors;  // from, to: the second of none is the first of another
  sigset_t mask;
};

/// Starts it by vfork(2), which sandboxes let pass that refuse clone3, and posix_spawn with it. Waits until it has been
/// executed. The pid, or -1 with the errno of whatever failed.
pid_t execute(const image& what) noexcept;

/// The path of the program that runs: /proc/self/exe, or what the kernel says it was started as where there is no /proc.
const char* own_image() noexcept;
/// As `init` begins, before anybody changes the working directory.
void remember_own_image();

}  // namespace brood::sys
