// What a process may run out of, used up for a while.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

#include "brood/arena/arena.hpp"
#include "brood/channel/shared_buffer.hpp"

/// While it lives this process gets no new descriptor: EMFILE.
class no_descriptors {
 public:
  no_descriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest_free = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(lowest_free);
    rlimit limit = before_;
    limit.rlim_cur = static_cast<rlim_t>(lowest_free);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  ~no_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;

 private:
  rlimit before_{};
};

/// While it lives the family's memory has no room, not even for the smallest block: `arena_full`.
class full_arena {
 public:
  full_arena() {
    for (std::size_t size = std::size_t{1} << 40; size != 0; size /= 2) {
      try {
        for (;;) kept_.emplace_back(size);
      } catch (const brood::arena_full&) {
      }
    }
  }
  full_arena(const full_arena&) = delete;
  full_arena& operator=(const full_arena&) = delete;

 private:
  std::vector<brood::shared_buffer> kept_;
};
