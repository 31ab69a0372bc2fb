// Byte streams over pipes and sockets, such as the standard streams of a child.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood {

class reader;

namespace detail {
/// From now on the stream remembers the end of what was taken from it.
BROOD_API void keep_tail(reader& of) noexcept;
/// The last lines of all that came, taken or not, at most `most` bytes.
BROOD_API std::string tail_of(const reader& of, std::size_t most);
}  // namespace detail

/// What `read_line` does with a line that is longer than allowed.
enum class long_line {
  refuse,    ///< throws `std::length_error`; the line stays to be read
  truncate,  ///< gives its beginning, and drops the rest
  skip,      ///< drops it, and gives the next
};

/// The reading end of a pipe or socket. A small copyable value; copies name the same stream.
/// One coroutine at a time may read. Loop thread only.
/// Lifetime: the descriptor is closed with the last copy, or by `close`.
class BROOD_API reader {
 public:
  reader() = default;
  /// Takes over `fd` and makes it non-blocking. Throws `std::system_error`.
  explicit reader(unique_fd fd);

  /// Whatever is there, at least one byte and at most `most`; waits for the first. Empty at the end of the stream.
  /// Cancellation: nothing is lost. Throws `std::system_error`, and `closed` after `close`.
  task<std::string> read(std::size_t most = 64 * 1024);
  /// The next line without its newline; the last one may lack it. Empty at the end. Cancellation: nothing is lost.
  /// Throws `std::length_error` at a line of more than `longest` bytes, which stays to be read, unless `too_long` says what else to
  /// do; of a line that is dropped no more than 64 KiB are held at a time.
  task<std::optional<std::string>> read_line(std::size_t longest = 16 * 1024 * 1024,
                                             long_line too_long = long_line::refuse);
  /// Everything to the end of the stream. Throws `std::length_error` if that is more than `most` bytes.
  /// Cancellation: what was read so far stays to be read.
  task<std::string> read_all(std::size_t most = std::numeric_limits<std::size_t>::max());

  /// Closes the descriptor; a read that waits throws `closed`.
  void close() noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  friend void detail::keep_tail(reader& of) noexcept;
  friend std::string detail::tail_of(const reader& of, std::size_t most);
  struct state;
  std::shared_ptr<state> state_;
};

/// The writing end of a pipe or socket. As `reader`. Never raises SIGPIPE.
class BROOD_API writer {
 public:
  writer() = default;
  explicit writer(unique_fd fd);

  /// Writes all of `bytes`, waiting for the other side to take them: this is where back-pressure is felt.
  /// Throws `closed` if nobody reads any more. Cancellation: a part may have been written.
  task<> write(std::string bytes);
  /// Closes the descriptor: the other side reads the end of the stream.
  void close() noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace brood
