// child: a process made by plain fork, with a place in the family's memory.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "brood/arena/family_memory.hpp"

namespace brood::test {

/// Runs `body` in a fork; its exit code is 0, or 1 if it threw. Like the process storey, the parent reserves the slot
/// and reports the death. The destructor kills and reaps what still runs.
class child {
 public:
  template <class F>
  explicit child(F body) : id_(family_memory::reserve_slot()) {
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) run(body);
    if (pid_ > 0) return;
    const int error = errno;  // and not -1 as a pid: that is everybody to kill(2)
    family_memory::on_death(id_);
    throw std::system_error(error, std::system_category(), "fork");
  }
  child(child&& other) noexcept : id_(other.id_), pid_(std::exchange(other.pid_, 0)) {}
  child& operator=(child&&) = delete;
  ~child() {
    if (pid_ == 0) return;
    kill();
    join();
  }

  pid_t pid() const noexcept { return pid_; }
  process_id id() const noexcept { return id_; }
  void kill() noexcept { ::kill(pid_, SIGKILL); }

  /// Exit code, or minus the signal.
  int join() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    family_memory::on_death(id_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  template <class F>
  [[noreturn]] void run(F& body) {
    int code = 0;
    try {
      family_memory::adopt_slot(id_);
      body();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "child: %s\n", e.what());
      code = 1;
    }
    std::fflush(nullptr);
    ::_exit(code);
  }

  process_id id_;
  pid_t pid_ = 0;
};

}  // namespace brood::test
