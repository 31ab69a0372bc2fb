// lines: what any number of programs write, line by line, in one stream.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <string>
#include <vector>

#include "brood/coroutine/generator.hpp"
#include "brood/export.hpp"
#include "brood/process/process.hpp"
#include "brood/runtime/stream.hpp"

namespace brood {

/// Which of a program's outputs.
enum class output_stream : std::uint8_t { out, err };

/// One line of one of many programs, without its newline.
struct output_line {
  std::string name;  ///< the program's
  output_stream stream = output_stream::out;
  std::string text;
  std::chrono::system_clock::time_point when;  ///< it was read here
  bool continues = false;     ///< the line is longer than its limit, and goes on with the next of this stream
  std::uint64_t dropped = 0;  ///< lines of this stream that were dropped just before this one
};

/// What `lines` does when its window is full.
enum class when_full : std::uint8_t {
  wait,  ///< reads no more: who writes waits in its `write`
  drop,  ///< drops lines and counts them: nobody waits
};

/// How the lines of many programs are read.
struct line_options {
  std::size_t longest = 64 * 1024;   ///< bytes of a line; what is longer comes in pieces
  std::size_t window = 1024 * 1024;  ///< bytes that were read and not taken, of all streams together
  when_full full = when_full::wait;
};

/// One stream to be read by `lines`.
struct line_source {
  std::string name;
  output_stream stream = output_stream::out;
  reader from;
};

/// The lines of all of these, as they come, each stream's in its order; ends when all of them have ended. Nobody else reads
/// them meanwhile. Streams are read from this call on, also between two `next()`, as far as the window; whoever waits for room gets it in turn.
/// If lines were dropped at a stream's end, a last one without a text tells how many.
/// Throws `std::system_error` if a stream cannot be read. Cancellation: nothing is lost. Lifetime: what was read and not taken
/// is dropped with the generator.
BROOD_API generator<output_line> lines(std::vector<line_source> sources, line_options options = {});

/// The `piped` outputs of children, under their names.
template <std::ranges::input_range Children>
  requires std::convertible_to<std::ranges::range_reference_t<Children>, const process_handle&>
generator<output_line> lines(const Children& children, line_options options = {}) {
  std::vector<line_source> sources;
  for (const process_handle& each : children) {
    if (each.stdout_()) sources.push_back({each.name(), output_stream::out, each.stdout_()});
    if (each.stderr_()) sources.push_back({each.name(), output_stream::err, each.stderr_()});
  }
  return lines(std::move(sources), options);
}

}  // namespace brood
