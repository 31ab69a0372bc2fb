// A program, from its request to execve.
#pragma once

#include <string>
#include <vector>

#include "process/child_setup.hpp"

namespace brood::detail {

/// A program ready to be executed: all that takes memory is done here, in the fork server, so that the child, which may
/// share that memory, only makes system calls.
class program_start {
 public:
  /// Throws `decode_error`.
  explicit program_start(const child_setup& setup);

  /// Makes the child and waits until it has called execve or failed; its slot says which. The pid, or -1 with errno.
  pid_t run(const sys::clone_request& how) noexcept;
  /// In a child that has memory of its own.
  [[noreturn]] void begin() noexcept;

 private:
  void make_environment();
  void find_candidates();
  void execute() const;

  child_setup setup_;
  launch_details details_;
  std::vector<std::string> environment_;
  std::vector<std::string> candidates_;  // the paths to try, in order
  std::vector<char*> argument_pointers_;
  std::vector<char*> environment_pointers_;
  char* listen_pid_ = nullptr;  // in the environment, room for a number
};

}  // namespace brood::detail
