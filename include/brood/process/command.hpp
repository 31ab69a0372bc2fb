// command(program, args...): a program in a child process.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/process/launch.hpp"
#include "brood/process/process.hpp"

namespace brood {

/// A running program. As `process_handle`; its streams are there if they were `piped`.
class program : public process_handle {
 public:
  explicit program(std::shared_ptr<detail::child> child) noexcept : process_handle(std::move(child)) {}
};

/// What a program that has ended wrote.
struct command_output {
  exit_status status;
  std::string out;
  std::string err;
};

namespace detail {

/// What a command is beside its launch_plan.
struct program_call {
  std::vector<std::string> words;
  std::string input;
  bool has_input = false;
  std::size_t max_output = std::numeric_limits<std::size_t>::max();
};

/// For what is made of commands.
struct command_access;

}  // namespace detail

/// A program to run: set what is to be set, then await `status()`, `output()` or `spawn()`. It is searched in the
/// child's PATH if its name holds no slash. The child has the parent's environment and working directory of that
/// moment, its three streams unless set, and none of its other descriptors.
///
/// Each throws `std::system_error` with the errno and the stage (`chdir`, `execve`, ...) if the program cannot be
/// started.
class BROOD_API command : public launch_setters<command> {
 public:
  template <class... Arguments>
  explicit command(std::string program, Arguments&&... arguments)
      : call_{{std::move(program), std::string(std::forward<Arguments>(arguments))...}} {}
  command(const command&) = default;
  command(command&&) = default;
  /// By value, as `c = std::move(c).stdout_(null)` assigns an object to itself.
  command& operator=(command other) noexcept {
    plan_ = std::move(other.plan_);
    call_ = std::move(other.call_);
    return *this;
  }

  /// One more argument.
  command&& arg(std::string argument) && {
    call_.words.push_back(std::move(argument));
    return std::move(*this);
  }
  /// One more argument for each element.
  template <class Range>
  command&& args(const Range& arguments) && {
    for (const auto& argument : arguments) call_.words.emplace_back(argument);
    return std::move(*this);
  }
  /// For `output`: what the program reads from its standard input.
  command&& input(std::string text) && {
    call_.input = std::move(text);
    call_.has_input = true;
    return std::move(*this);
  }
  /// For `output`: the most bytes that each of the two outputs may hold; default unlimited.
  command&& max_output(std::size_t most) && {
    call_.max_output = most;
    return std::move(*this);
  }

  /// Runs the program to its end. Cancellation: the program gets its stop signal, is killed when its `stop_within` has passed, and reaped.
  task<exit_status> status() &&;
  /// The same, and gives what it wrote; standard input is `.input()`, or empty. Reads and writes at once, so neither
  /// side can block the other. Throws `std::length_error`, after killing the program's tree, if it writes more than
  /// `max_output`.
  task<command_output> output() &&;
  /// Starts the program and leaves it running; see `process_handle`.
  task<program> spawn() &&;

 private:
  friend struct detail::command_access;
  detail::program_call call_;
};

namespace detail {

struct command_access {
  static launch_plan& plan(command& of) noexcept { return of.plan_; }
  static program_call& call(command& of) noexcept { return of.call_; }
};

}  // namespace detail

}  // namespace brood
