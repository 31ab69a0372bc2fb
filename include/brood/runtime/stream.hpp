// Byte streams over pipes and sockets, such as the standard streams of a child.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
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
struct stream_access;
}  // namespace detail

/// What `read_line` does with a line that is longer than allowed.
enum class long_line {
  refuse,    ///< throws `std::length_error`; the line stays to be read
  truncate,  ///< gives its beginning, and drops the rest
  skip,      ///< drops it, and gives the next
};

/// The reading end of a pipe, a socket or a terminal. A small copyable value; copies name the same stream.
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

  /// So many bytes. Throws `closed` if the stream ends before; what came stays to be read. Cancellation: nothing is lost.
  task<std::string> read_exactly(std::size_t count);
  /// Everything up to `end` and with it; what there is if the stream ends before. Throws `std::length_error` if that is more
  /// than `most` bytes, which stay to be read. Cancellation: nothing is lost.
  task<std::string> read_until(std::string end, std::size_t most = 16 * 1024 * 1024);

  /// The descriptor, for what is not offered here; -1 if there is none.
  int fd() const noexcept;
  /// Closes the descriptor; a read that waits throws `closed`.
  void close() noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  friend void detail::keep_tail(reader& of) noexcept;
  friend std::string detail::tail_of(const reader& of, std::size_t most);
  friend struct detail::stream_access;
  struct state;
  std::shared_ptr<state> state_;
};

/// The writing end of a pipe, a socket or a terminal. As `reader`. Never raises SIGPIPE.
class BROOD_API writer {
 public:
  writer() = default;
  explicit writer(unique_fd fd);

  /// Writes all of `bytes`, waiting for the other side to take them: this is where back-pressure is felt.
  /// Throws `closed` if nobody reads any more. Cancellation: a part may have been written.
  task<> write(std::string bytes);
  /// The same with bytes of the caller's. Lifetime: they stay until this is over.
  task<> write(std::span<const std::byte> bytes);
  /// As the reader's.
  int fd() const noexcept;
  /// Closes the descriptor: the other side reads the end of the stream.
  void close() noexcept;
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  friend struct detail::stream_access;
  struct state;
  std::shared_ptr<state> state_;
};

/// Writes all that `from` gives, to its end or to `most` bytes; gives how many. Where one of the two is a pipe the kernel hands
/// the bytes over, splice(2). Throws `closed` if nobody reads `to` any more, and `std::system_error`. `to` stays open.
/// Cancellation: what was copied stays so, the rest can be read. Lifetime: owns its copies of both.
BROOD_API task<std::uint64_t> copy(reader from, writer to,
                                   std::uint64_t most = std::numeric_limits<std::uint64_t>::max());
/// Writes so many bytes of a file from `offset` on, or what there is; gives how many. The file is read on a thread of libuv's
/// pool, so a slow disk keeps nobody waiting. Throws as `copy`.
BROOD_API task<std::uint64_t> write_file(writer to, std::filesystem::path path, std::uint64_t offset = 0,
                                         std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

/// A message with its length in front: four bytes, the highest first. Throws `std::length_error` above 4 GiB.
BROOD_API task<> write_frame(writer to, std::string bytes);
/// The next message; nothing at the end of the stream. Throws `closed` if it ends within one, `std::length_error` if the
/// length is above `most`: nothing is allocated for it then.
/// Cancellation: nothing is lost.
BROOD_API task<std::optional<std::string>> read_frame(reader from, std::size_t most = 16 * 1024 * 1024);

}  // namespace brood
