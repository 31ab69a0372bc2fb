#include "program/line_store.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "brood/coroutine/error.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/runtime/to_thread.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"

namespace brood::detail {
namespace {

constexpr std::size_t most_waiting = 1024 * 1024;  // bytes

}  // namespace

task<> line_store::put(std::shared_ptr<line_store> self, std::string line) {
  self->waiting_ += line;
  if (!self->draining_) {
    self->draining_ = true;
    runtime::current().start(drain(self));
  }
  while (self->waiting_.size() > most_waiting) co_await self->went_.wait();
  self->throw_failure();
}

task<> line_store::flush(std::shared_ptr<line_store> self) {
  while (self->draining_) co_await self->went_.wait();
  self->throw_failure();
}

/// Runs while lines wait. If the runtime ends meanwhile, they are written here.
task<> line_store::drain(std::shared_ptr<line_store> self) {
  while (!self->waiting_.empty()) {
    const std::string lines = std::exchange(self->waiting_, {});
    const auto write_them = [&] { self->write(lines); };
    bool cancelled_before = false;
    try {
      co_await to_thread(write_them);
    } catch (const std::exception&) {
      cancelled_before = true;  // or no thread is to be had
    }
    if (cancelled_before) self->write(lines);
    self->went_.notify_all();
  }
  self->draining_ = false;
  self->went_.notify_all();
}

void line_store::write(const std::string& lines) noexcept {
  try {
    target_->write(lines);
  } catch (...) {
    failure_ = std::current_exception();
  }
}

void line_store::throw_failure() {
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

// --- files ---

rotating_file::rotating_file(std::filesystem::path path, log_options options)
    : path_(std::move(path)), options_(options) {
  open();
}

void rotating_file::open() {
  // Non-blocking, so that a FIFO that nobody reads is an error and not a wait.
  file_ = unique_fd(sys::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666));
  if (!file_) sys::throw_errno(fmt::format("brood: cannot open the log file {}", path_.string()));
  struct stat found{};
  if (sys::fstat(file_.get(), &found) != 0)
    sys::throw_errno(fmt::format("brood: cannot look at {}", path_.string()));
  size_ = static_cast<std::uint64_t>(found.st_size);
  begun_ = std::chrono::system_clock::now();
  if (size_ > 0) begun_ = std::chrono::system_clock::from_time_t(found.st_mtime);  // nothing tells more
}

bool rotating_file::is_old() const {
  return options_.max_age != std::chrono::seconds::max() &&
         std::chrono::system_clock::now() - begun_ >= options_.max_age;
}

void rotating_file::rotate() {
  const auto numbered = [&](int n) {
    return n == 0 ? path_.string() : fmt::format("{}.{}", path_.string(), n);
  };
  for (int n = options_.keep; n-- > 0;) {
    if (sys::rename(numbered(n).c_str(), numbered(n + 1).c_str()) != 0 && errno != ENOENT)
      sys::throw_errno(fmt::format("brood: cannot rename the log file {}", numbered(n)));
  }
  if (options_.keep <= 0 && sys::unlink(path_.c_str()) != 0 && errno != ENOENT)
    sys::throw_errno(fmt::format("brood: cannot remove the log file {}", path_.string()));
  open();
}

void rotating_file::write(std::string_view lines) {
  while (!lines.empty()) {
    const std::size_t first = std::min(lines.find('\n'), lines.size() - 1) + 1;
    if (size_ > 0 && (is_old() || size_ + first > options_.max_size)) rotate();
    if (size_ == 0) begun_ = std::chrono::system_clock::now();
    // As many whole lines as the file takes, but one at least.
    std::size_t count = lines.size();
    const std::uint64_t room = options_.max_size > size_ ? options_.max_size - size_ : 0;
    if (count > room) {
      const std::size_t newline = lines.substr(0, static_cast<std::size_t>(room)).rfind('\n');
      count = newline == std::string_view::npos ? first : newline + 1;
    }
    write_whole(lines.substr(0, count));
    lines.remove_prefix(count);
  }
}

/// What the disk took of a line that it has not taken whole is taken back.
void rotating_file::write_whole(std::string_view lines) {
  std::string_view rest = lines;
  while (!rest.empty()) {
    const ssize_t count = sys::write(file_.get(), rest.data(), rest.size());
    if (count >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(count));
      continue;
    }
    const int error = errno;
    if (error == EINTR) continue;
    const std::string_view taken = lines.substr(0, lines.size() - rest.size());
    const std::size_t whole = taken.rfind('\n') == std::string_view::npos ? 0 : taken.rfind('\n') + 1;
    if (whole < taken.size())
      static_cast<void>(sys::ftruncate(file_.get(), static_cast<off_t>(size_ + whole)));
    size_ += whole;
    sys::throw_errno(fmt::format("brood: cannot write the log file {}", path_.string()), error);
  }
  size_ += lines.size();
}

// --- other outputs ---

void plain_output::write(std::string_view lines) {
  while (!lines.empty()) {
    const ssize_t count = sys::write_quietly(fd_.get(), lines);
    if (count >= 0) {
      lines.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {  // somebody else has made it non-blocking
      pollfd watched{fd_.get(), POLLOUT, 0};
      sys::poll(&watched, 1, -1);
    } else if (errno == EPIPE || errno == ECONNRESET) {
      throw closed("nobody reads what is printed any more");
    } else if (errno != EINTR) {
      sys::throw_errno("brood: cannot print lines: write");
    }
  }
}

}  // namespace brood::detail
