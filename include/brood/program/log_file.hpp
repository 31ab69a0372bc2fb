// Where lines go: log files that turn over, and the terminal.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/program/lines.hpp"

namespace brood {

namespace detail {
class line_store;
}  // namespace detail

/// When a log file turns over, and how many old ones are kept.
struct log_options {
  std::uint64_t max_size =
      std::numeric_limits<std::uint64_t>::max();  ///< bytes; a line above it has a file of its own
  std::chrono::seconds max_age = std::chrono::seconds::max();  ///< of the first line of a file
  int keep = 5;           ///< files before the one of now: `path.1` is the youngest
  bool prefixed = false;  ///< each line begins with when it came (UTC), the program's name and its stream
};

/// A file that lines are put at the end of, whole ones only: neither a turn to the next file nor a full disk tears one. It is
/// written on a thread of libuv's pool, many lines at a time; one process at a time writes it. A small copyable value; copies
/// name the same file. Loop thread only.
/// Lifetime: what was written is in the file when the last copy is gone and the loop has run on, or its runtime has ended.
class BROOD_API log_file {
 public:
  /// Creates it if need be. Throws `std::system_error`.
  explicit log_file(std::filesystem::path path, log_options options = {});

  /// Puts a line at the end; waits while more than a megabyte is not in the file yet. Throws `std::system_error` that names the file
  /// if this or a line before could not be written (ENOSPC: the disk is full): those are lost, and the next is tried again.
  /// Cancellation: the line is written.
  task<> write(output_line line) const;
  task<> write(std::string text) const;
  /// Waits until everything is in the file. Throws as above.
  task<> flush() const;

 private:
  std::shared_ptr<detail::line_store> store_;
  bool prefixed_;
};

/// Whether what is printed has colours. `automatic`: on a terminal, unless the environment variable NO_COLOR is set.
enum class colours : std::uint8_t { automatic, always, never };

/// Prints lines behind the name of their program: `name | text`, errors `name ! text`. As `log_file` for the rest; if nobody reads
/// the descriptor any more `closed` is thrown.
class BROOD_API line_printer {
 public:
  /// Prints to a copy of `fd`.
  explicit line_printer(int fd = 1, colours when = colours::automatic);
  task<> write(output_line line) const;
  task<> flush() const;

 private:
  struct style;
  std::shared_ptr<detail::line_store> store_;
  std::shared_ptr<style> style_;
};

namespace detail {
template <class... Sinks>
generator<output_line> tee_all(generator<output_line> from, Sinks... sinks) {
  while (auto line = co_await from.next()) {
    (co_await sinks.write(*line), ...);
    co_yield moved{*line};
  }
  (co_await sinks.flush(), ...);
}
}  // namespace detail

/// Passes lines on, each when all sinks have it: `log_file`s, `line_printer`s, or whatever has their `write` and `flush`. At the end
/// they are flushed. Throws what the source or a sink throws.
template <class... Sinks>
generator<output_line> tee(generator<output_line> from, Sinks... sinks) {
  return detail::tee_all(std::move(from), std::move(sinks)...);
}

}  // namespace brood
