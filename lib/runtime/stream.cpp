// Streams try the system call first and wait only when it would block: most reads cost one call.
#include "brood/runtime/stream.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>

#include "brood/coroutine/error.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "system/error.hpp"

namespace brood {
namespace {

void make_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) sys::throw_errno("fcntl");
}

/// write(2) that does not raise SIGPIPE. Only a socket can say so for each call; for a pipe the signal is blocked around
/// the call and, if it was raised, taken back. The host's own disposition stays as it is.
ssize_t write_quietly(int fd, std::string_view bytes) {
  const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  sigset_t pipe_signal;
  sigset_t previous;
  sigset_t pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &previous);
  const ssize_t written = ::write(fd, bytes.data(), bytes.size());
  const int error = errno;
  if (written < 0 && error == EPIPE && !was_pending) {
    const timespec at_once{};
    sigtimedwait(&pipe_signal, nullptr, &at_once);
  }
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  errno = error;
  return written;
}

/// A descriptor and the coroutine that waits for it.
struct waitable_fd {
  unique_fd fd;
  int events;
  detail::local_event ready;
  std::optional<fd_watch> watch;

  waitable_fd(unique_fd opened, int watched) : fd(std::move(opened)), events(watched) { make_nonblocking(fd.get()); }

  void require_open() const {
    if (!fd) throw closed("the stream is closed");
  }

  task<> wait() {
    if (!watch) {
      watch.emplace(runtime::current(), fd.get(), [this](int) {
        watch->watch(0);
        ready.notify_all();
      });
    }
    watch->watch(events);
    co_await ready.wait();
  }

  void close() noexcept {
    watch.reset();
    fd.reset();
    ready.notify_all();
  }
};

}  // namespace

struct reader::state : waitable_fd {
  using waitable_fd::waitable_fd;
  std::string buffer;  // read but not yet taken
  bool ended = false;

  /// Waits for at least one more byte in the buffer; false at the end.
  static task<bool> fill(std::shared_ptr<state> self, std::size_t most) {
    for (;;) {
      self->require_open();
      if (self->ended) co_return false;
      const std::size_t before = self->buffer.size();
      self->buffer.resize(before + most);
      const ssize_t count = ::read(self->fd.get(), self->buffer.data() + before, most);
      const int error = errno;
      self->buffer.resize(before + static_cast<std::size_t>(count > 0 ? count : 0));
      if (count > 0) co_return true;
      if (count == 0) {
        self->ended = true;
      } else if (error == EAGAIN || error == EWOULDBLOCK) {
        co_await self->wait();
      } else if (error != EINTR) {
        sys::throw_errno("read", error);
      }
    }
  }
};

namespace {
constexpr std::size_t chunk = 64 * 1024;
}

reader::reader(unique_fd fd) : state_(std::make_shared<state>(std::move(fd), fd_watch::readable)) {}

task<std::string> reader::read(std::size_t most) {
  auto self = state_;
  if (!self) throw closed("the stream is not open");
  if (self->buffer.empty()) co_await state::fill(self, std::min(most, chunk));
  std::string taken = self->buffer.substr(0, most);
  self->buffer.erase(0, taken.size());
  co_return taken;
}

task<std::optional<std::string>> reader::read_line(std::size_t longest) {
  auto self = state_;
  if (!self) throw closed("the stream is not open");
  std::size_t searched = 0;
  for (;;) {
    const std::size_t newline = self->buffer.find('\n', searched);
    const std::size_t length = newline == std::string::npos ? self->buffer.size() : newline;
    if (length > longest) throw std::length_error("brood: a line is longer than its limit");
    if (newline != std::string::npos) {
      std::string line = self->buffer.substr(0, newline);
      self->buffer.erase(0, newline + 1);
      co_return line;
    }
    searched = self->buffer.size();
    const bool more = co_await state::fill(self, chunk);
    if (!more) break;
  }
  if (self->buffer.empty()) co_return std::nullopt;
  co_return std::exchange(self->buffer, std::string());
}

task<std::string> reader::read_all(std::size_t most) {
  auto self = state_;
  if (!self) throw closed("the stream is not open");
  bool more = true;
  while (more) {
    if (self->buffer.size() > most) throw std::length_error("brood: a stream is longer than its limit");
    more = co_await state::fill(self, chunk);
  }
  co_return std::exchange(self->buffer, std::string());
}

void reader::close() noexcept {
  if (state_) state_->close();
}

struct writer::state : waitable_fd {
  using waitable_fd::waitable_fd;
};

writer::writer(unique_fd fd) : state_(std::make_shared<state>(std::move(fd), fd_watch::writable)) {}

task<> writer::write(std::string bytes) {
  auto self = state_;
  if (!self) throw closed("the stream is not open");
  std::string_view rest = bytes;
  while (!rest.empty()) {
    self->require_open();
    const ssize_t count = write_quietly(self->fd.get(), rest);
    if (count >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      co_await self->wait();
    } else if (errno == EPIPE || errno == ECONNRESET) {
      throw closed("nobody reads the stream any more");
    } else if (errno != EINTR) {
      sys::throw_errno("write");
    }
  }
}

void writer::close() noexcept {
  if (state_) state_->close();
}

}  // namespace brood
