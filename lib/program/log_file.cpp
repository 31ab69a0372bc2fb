#include "brood/program/log_file.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <map>

#include "program/line_store.hpp"
#include "system/descriptor.hpp"

namespace brood {
namespace {

std::string in_utc(std::chrono::system_clock::time_point when) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(when.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(milliseconds / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:03}Z", std::string_view(text, length), milliseconds % 1000);
}

std::string told_of_dropped(const output_line& line) {
  return line.dropped == 0 ? std::string() : fmt::format("[{} lines dropped]\n", line.dropped);
}

bool wants_colours(int fd, colours when) {
  if (when != colours::automatic) return when == colours::always;
  const char* refused = std::getenv("NO_COLOR");  // no-color.org
  return (refused == nullptr || *refused == '\0') && isatty(fd) == 1;
}

}  // namespace

log_file::log_file(std::filesystem::path path, log_options options)
    : store_(std::make_shared<detail::line_store>(
          std::make_unique<detail::rotating_file>(std::move(path), options))),
      prefixed_(options.prefixed) {}

task<> log_file::write(output_line line) const {
  std::string text = told_of_dropped(line);
  if (prefixed_) {
    text += fmt::format("{} {} {} ", in_utc(line.when), line.name,
                        line.stream == output_stream::out ? "out" : "err");
  }
  text += line.text + "\n";
  return detail::line_store::put(store_, std::move(text));
}

task<> log_file::write(std::string text) const {
  return detail::line_store::put(store_, std::move(text) + "\n");
}
task<> log_file::flush() const { return detail::line_store::flush(store_); }

/// Names get as much room as the longest that was seen, and colours in the order in which they come.
struct line_printer::style {
  bool coloured = false;
  std::size_t width = 0;
  std::map<std::string, std::size_t, std::less<>> places;

  std::string prefix(const output_line& line) {
    const std::size_t place = places.emplace(line.name, places.size()).first->second;
    width = std::max(width, line.name.size());
    const bool error = line.stream == output_stream::err;
    if (!coloured) return fmt::format("{:<{}} {} ", line.name, width, error ? '!' : '|');
    constexpr int palette[] = {36, 33, 32, 35, 34, 96, 93, 92, 95, 94};
    return fmt::format("\x1b[{}m{:<{}} {}\x1b[0m ", palette[place % std::size(palette)], line.name, width,
                       error ? "\x1b[31m!" : "|");
  }
};

line_printer::line_printer(int fd, colours when)
    : store_(
          std::make_shared<detail::line_store>(std::make_unique<detail::plain_output>(sys::duplicate(fd)))),
      style_(std::make_shared<style>()) {
  style_->coloured = wants_colours(fd, when);
}

task<> line_printer::write(output_line line) const {
  const std::string prefix = style_->prefix(line);
  std::string text = line.dropped == 0 ? std::string() : prefix + told_of_dropped(line);
  text += prefix + line.text + "\n";
  return detail::line_store::put(store_, std::move(text));
}

task<> line_printer::flush() const { return detail::line_store::flush(store_); }

}  // namespace brood
