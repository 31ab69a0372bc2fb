// A Chrome trace that several processes write; the format is "Trace Event Format" (Google, 2016), an array of objects.
//
// Each process gathers lines, one event each, and appends a buffer of them with one write(2) to a file opened with
// O_APPEND, so lines of several processes do not mix. The loops of one process share its buffer under a lock. A process
// killed within such a write leaves a torn line. So the process that began the trace, at its end, copies the whole
// lines to a new file, closes the array, and renames that over the first. Only a plain file is written, no device, FIFO
// or link, and the new file's name cannot be guessed, so that in a folder where all may write nobody directs it
// elsewhere. If it is killed, the file is an array without its end, which viewers accept. Who is still writing then (a
// detached child) writes to the file that has lost its name.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

#include "brood/coroutine/detail/trace.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::detail {

/// Which file a child is to write to. The inode tells it from another one of that name.
struct trace_target {
  std::string path;  // empty: none
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
};

/// Whether a line is one whole event: `{...},` with its braces and quotes in pairs.
bool is_whole_event(std::string_view line) noexcept;

/// The process's trace: one object, which lives for ever.
class trace_file final : public trace_sink {
 public:
  /// Begins a trace in a new or emptied plain file. Throws `std::system_error`, and `std::logic_error` if this process writes one already.
  static void begin(const std::filesystem::path& path);
  /// In a child: goes on with its parent's trace, if it is still there.
  static void join(const trace_target& target) noexcept;
  /// Appends what has been gathered.
  static void flush() noexcept;
  /// Ends the trace, in the process that began it; elsewhere the same as `flush`. Throws `std::system_error`.
  static void end();
  /// In a clone, which has one thread: the trace and what was gathered are the other process's.
  static void abandon() noexcept;
  /// This process's trace, or null.
  static trace_file* current() noexcept;

  trace_target target() const;

  void span(const char* category, std::string_view name, const void* of, clock::time_point begin,
            clock::time_point end, std::uint64_t object = 0) noexcept override;
  /// A part of a process's life, within which others lie. `arguments` is the inside of a JSON object.
  void stretch(pid_t pid, std::string_view name, clock::time_point begin, clock::time_point end,
               std::string_view arguments = {}, const char* category = "process") noexcept;
  void name_process(pid_t pid, std::string_view name) noexcept;

 private:
  static trace_file& of_process() noexcept;
  void add(std::string line) noexcept;
  void append_buffer() noexcept;

  mutable std::mutex mutex_;  // guards the rest
  trace_target target_;
  unique_fd fd_;
  pid_t writer_ = 0;
  bool began_here_ = false;
  std::string buffer_;
};

}  // namespace brood::detail
