// One command of the list, and how it went.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "brood/brood.hpp"

namespace many {

struct job {
  std::uint64_t number = 0;  // from 1, in the order of the list
  std::vector<std::string> words;
};

/// What came of the last attempt.
struct outcome {
  std::chrono::system_clock::time_point begin;
  double seconds = 0;
  int attempts = 0;
  brood::exit_status status;
  std::string error;  // why it could not be started; then the status says nothing

  bool success() const noexcept { return error.empty() && status.success(); }
};

/// The words of `pattern` with each {} replaced by `line`, which is appended if there is none; without a pattern the
/// line is one for the shell.
std::vector<std::string> words_of(const std::vector<std::string>& pattern, const std::string& line);

/// One line of JSON.
std::string log_line(const job& job, const outcome& outcome);

/// Lines, or what ends with a zero byte, of a file, a pipe or a terminal.
class list {
 public:
  /// `path` "-" is standard input. Throws `std::system_error`.
  list(const std::string& path, char separator);
  /// The next one; nothing at the end. Waits for a pipe without blocking the loop.
  brood::task<std::optional<std::string>> next();

 private:
  brood::task<std::string> read_some();

  char separator_;
  brood::unique_fd file_;  // that is always ready, so libuv does not poll it
  brood::reader stream_;
  std::string unread_;
  std::size_t begin_ = 0;  // of what has not been given out, in `unread_`
  bool ended_ = false;
};

}  // namespace many
