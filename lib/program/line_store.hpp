// Lines on their way to a descriptor: they wait in memory and are written on another thread, all that wait at once.
#pragma once

#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "brood/coroutine/async_event.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/program/log_file.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::detail {

/// Writes whole lines, on whichever thread, one call at a time.
class line_target {
 public:
  virtual ~line_target() = default;
  virtual void write(std::string_view lines) = 0;
};

class line_store : public std::enable_shared_from_this<line_store> {
 public:
  explicit line_store(std::unique_ptr<line_target> target) : target_(std::move(target)) {}

  static task<> put(std::shared_ptr<line_store> self, std::string line);
  static task<> flush(std::shared_ptr<line_store> self);

 private:
  static task<> drain(std::shared_ptr<line_store> self);
  void write(const std::string& lines) noexcept;
  void throw_failure();

  std::unique_ptr<line_target> target_;
  std::string waiting_;
  bool draining_ = false;
  async_event went_;  // notified: some have been written
  std::exception_ptr failure_;
};

/// A file that turns over.
class rotating_file final : public line_target {
 public:
  rotating_file(std::filesystem::path path, log_options options);
  void write(std::string_view lines) override;

 private:
  void open();
  void rotate();
  bool is_old() const;
  void write_whole(std::string_view lines);

  std::filesystem::path path_;
  log_options options_;
  unique_fd file_;
  std::uint64_t size_ = 0;
  std::chrono::system_clock::time_point begun_;
};

/// A terminal, a pipe, whatever is there.
class plain_output final : public line_target {
 public:
  explicit plain_output(unique_fd fd) : fd_(std::move(fd)) {}
  void write(std::string_view lines) override;

 private:
  unique_fd fd_;
};

}  // namespace brood::detail
