// command(program, args...): a program in a child process.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/process/launch.hpp"
#include "brood/process/process.hpp"

namespace brood {

class nursery;

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
  /// Something that it had started still held its outputs when it had ended, and `drain` later too: there may be more.
  bool leaked = false;
};

namespace detail {

/// What a command is beside its launch_plan.
struct program_call {
  std::vector<std::string> words;
  std::string input;
  bool has_input = false;
  std::size_t max_output = std::numeric_limits<std::size_t>::max();
  std::chrono::nanoseconds drain = std::chrono::seconds(1);
};

/// For what is made of commands.
struct command_access;

}  // namespace detail

/// A program to run: set what is to be set, then await `status()`, `output()` or `spawn()`. It is searched in the
/// child's PATH if its name holds no slash. The child has the parent's environment and working directory of that
/// moment, its three streams unless set, and none of its other descriptors.
///
/// A value: copies are commands of their own, and one that has a name can be run again and again. One without a program is
/// refused, by `std::system_error` (EINVAL), when it is awaited. What is run is what the command was when `status()`,
/// `output()` or `spawn()` was called.
///
/// Each of the three throws `std::system_error` with the errno and the stage (`chdir`, `execve`, ...) if the program cannot
/// be started.
class BROOD_API command : public launch_setters<command, detail::programs> {
 public:
  /// Without a program.
  command() = default;
  template <class... Arguments>
  explicit command(std::string program, Arguments&&... arguments) {
    call_.words = {std::move(program), std::string(std::forward<Arguments>(arguments))...};
  }
  command(const command&) = default;
  command(command&&) = default;
  /// By value, as `c = std::move(c).stdout_(null)` assigns an object to itself.
  command& operator=(command other) noexcept {
    plan_ = std::move(other.plan_);
    call_ = std::move(other.call_);
    return *this;
  }

  /// The command that a line says, as a POSIX shell reads words: blanks between them, quotes, backslashes, comments. No
  /// shell runs: what only a shell can do (`|`, `>`, `$`, `*`, `~`, `;`, `&`, assignments, ...) throws `std::invalid_argument`
  /// that names it and its place, if it is not quoted.
  static command parse(std::string_view line);

  /// One more argument.
  command& arg(std::string argument) & {
    call_.words.push_back(std::move(argument));
    return *this;
  }
  command&& arg(std::string argument) && { return std::move(arg(std::move(argument))); }
  /// One more argument for each element.
  template <class Range>
  command& args(const Range& arguments) & {
    for (const auto& argument : arguments) call_.words.emplace_back(argument);
    return *this;
  }
  template <class Range>
  command&& args(const Range& arguments) && {
    return std::move(args(arguments));
  }
  /// For `output`: what the program reads from its standard input.
  command& input(std::string text) & {
    call_.input = std::move(text);
    call_.has_input = true;
    return *this;
  }
  command&& input(std::string text) && { return std::move(input(std::move(text))); }
  /// For `output`: the most bytes that each of the two outputs may hold; default unlimited.
  command& max_output(std::size_t most) & {
    call_.max_output = most;
    return *this;
  }
  command&& max_output(std::size_t most) && { return std::move(max_output(most)); }
  /// For `output`: how long its outputs are read when it has ended and something that it has started still holds them;
  /// default 1 s.
  template <class Rep, class Period>
  command& drain(std::chrono::duration<Rep, Period> d) & {
    call_.drain = detail::saturating_ceil<std::chrono::nanoseconds>(d);
    return *this;
  }
  template <class Rep, class Period>
  command&& drain(std::chrono::duration<Rep, Period> d) && {
    return std::move(drain(d));
  }

  /// The program and its arguments.
  const std::vector<std::string>& words() const noexcept { return call_.words; }

  /// Runs the program to its end. Throws `std::logic_error` if a stream is `piped`, as nobody would be at its other end.
  /// Cancellation: the program's process group gets its stop signal. What is left of the group and of what the program had
  /// started is killed when the program has ended or its `stop_within` has passed, and the program is reaped.
  task<exit_status> status() const&;
  task<exit_status> status() &&;
  /// The same, and gives what it wrote; standard input is `.input()`, or empty. Reads and writes at once, so neither
  /// side can block the other. The deadline counts for all of it. Throws `std::length_error`, after killing the program's
  /// tree, if it writes more than `max_output`.
  task<command_output> output() const&;
  task<command_output> output() &&;
  /// Starts the program and leaves it running; see `process_handle`.
  task<program> spawn() const&;
  task<program> spawn() &&;
  /// `n.spawn(command(...))`: the same in the scope of a nursery, which waits for the program's end. When it is cancelled the
  /// program ends as above. What it exits with is no error of the nursery.
  task<program> spawn_in(nursery& scope) &&;

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

/// Where a program is found: its path in the folders of `PATH`, as `command` finds it; a name with a slash is the path. Empty
/// if there is none that this process may execute.
BROOD_API std::filesystem::path which(const std::string& program);

/// The words as a line that a POSIX shell, and `command::parse`, read as the same words.
BROOD_API std::string shell_quote(const std::vector<std::string>& words);

}  // namespace brood
