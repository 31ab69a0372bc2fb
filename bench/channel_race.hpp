// Producers and consumers as processes: starts them together, times them, checks how they ended. For the peers and limits;
// ours come from the library.
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "measure.hpp"

namespace bench {

/// Zeroed memory that every process forked later shares; freed with the last of them.
inline std::byte* shared_bytes(std::size_t size) {
  void* memory =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  return static_cast<std::byte*>(memory);
}

template <class T>
T* shared() {
  return new (shared_bytes(sizeof(T))) T;
}

/// Marks a message with a number in its first and its last word, so that a torn or misplaced one is noticed.
inline void stamp(std::byte* message, std::size_t size, long number) {
  std::memcpy(message, &number, sizeof number);
  std::memcpy(message + size - sizeof number, &number, sizeof number);
}

inline long stamp_of(const std::byte* message, std::size_t size) {
  long first = 0, last = 0;
  std::memcpy(&first, message, sizeof first);
  std::memcpy(&last, message + size - sizeof last, sizeof last);
  require(first == last, "a torn message");
  return first;
}

/// What each side gets of `count` messages: at least one message each, and both sides the same sum.
inline long share_of(int index, int sides, long count) {
  return count / sides + (index < count % sides ? 1 : 0);
}

/// Messages a second of `count` in all: `produce(index, share)` and `consume(index, share)` run in processes of their
/// own, which start together once all of them exist. From the start to the end of the last.
template <class Produce, class Consume>
double race(int producers, int consumers, long count, Produce produce, Consume consume) {
  struct start_line {
    std::atomic<int> ready = 0;
    std::atomic<bool> go = false;
  };
  start_line& line = *shared<start_line>();
  int gate[2];  // closing the writing end lets everybody go
  checked(pipe(gate), "pipe");
  std::vector<pid_t> runners;
  const auto start = [&](auto& body, int index, long share) {
    const pid_t pid = checked(fork(), "fork");
    if (pid == 0) {
      _exit(guarded([&] {
        close(gate[1]);
        line.ready.fetch_add(1);
        std::byte nothing;
        checked(read(gate[0], &nothing, 1), "read");
        body(index, share);
      }));
    }
    runners.push_back(pid);
  };
  for (int i = 0; i < consumers; ++i) start(consume, i, share_of(i, consumers, count));
  for (int i = 0; i < producers; ++i) start(produce, i, share_of(i, producers, count));
  while (line.ready.load() < producers + consumers) usleep(100);

  const double begin = wall_clock();
  close(gate[1]);
  bool good = true;
  while (!runners.empty()) {
    int status = 0;
    const pid_t ended = checked(waitpid(-1, &status, 0), "waitpid");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
      std::erase(runners, ended);
      continue;
    }
    good = false;
    for (const pid_t pid : runners) kill(pid, SIGKILL);  // the others may wait for it for ever
    std::erase(runners, ended);
  }
  const double elapsed = wall_clock() - begin;
  close(gate[0]);
  require(good, "a producer or consumer failed");
  return static_cast<double>(count) / elapsed;
}

}  // namespace bench
