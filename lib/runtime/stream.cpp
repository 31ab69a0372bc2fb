// Streams try the system call first and wait only when it would block: most reads cost one call.
#include "brood/runtime/stream.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <stdexcept>
#include <utility>

#include "brood/coroutine/error.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"

namespace brood {
namespace {

/// A descriptor and the coroutine that waits for it.
struct waitable_fd {
  unique_fd fd;
  int events;
  detail::local_event ready;
  std::optional<fd_watch> watch;

  waitable_fd(unique_fd opened, int watched) : fd(std::move(opened)), events(watched) {
    sys::set_nonblocking(fd.get(), true);
  }

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
    try {
      co_await ready.wait();
    } catch (...) {
      if (watch) watch->watch(0);  // nobody waits any more, so a host's loop may end
      throw;
    }
  }

  void close() noexcept {
    watch.reset();
    fd.reset();
    ready.notify_all();
  }
};

}  // namespace

// The members of `reader` and `writer` are plain functions that hand over the state, so that the tasks they give do
// not refer to a reader or writer that may be a temporary.
struct reader::state : waitable_fd {
  using waitable_fd::waitable_fd;
  using shared = std::shared_ptr<state>;

  static constexpr std::size_t chunk = 64 * 1024;

  std::string buffer;     // what was read
  std::size_t taken = 0;  // how much of it was given to somebody
  bool ended = false;
  bool dropping = false;  // the rest of this line
  bool keeps_tail = false;
  std::string tail;  // of what was taken, if that is kept

  static constexpr std::size_t longest_tail = 4096;

  void remember(std::string_view taken_now) {
    if (!keeps_tail) return;
    tail.append(taken_now.substr(taken_now.size() - std::min(taken_now.size(), longest_tail)));
    if (tail.size() > 2 * longest_tail) tail.erase(0, tail.size() - longest_tail);
  }

  /// What is there already, as far as nobody has to wait for it.
  void fill_now() {
    if (!fd || ended) return;
    bool more = false;
    for (std::size_t room = 1 << 20; room > 0;) {
      const std::size_t before = buffer.size();
      buffer.resize(before + chunk);
      const ssize_t count = sys::read(fd.get(), buffer.data() + before, chunk);
      buffer.resize(before + static_cast<std::size_t>(count > 0 ? count : 0));
      if (count == 0) ended = true;
      if (count <= 0) break;
      more = true;
      room -= std::min(room, static_cast<std::size_t>(count));
    }
    if (more || ended) ready.notify_all();  // who waits finds it in the buffer
  }

  std::string_view rest() const noexcept { return std::string_view(buffer).substr(taken); }

  std::string take(std::size_t count) {
    std::string result;
    if (taken == 0 && count == buffer.size()) {
      result.swap(buffer);
      remember(result);
    } else {
      result = rest().substr(0, count);
      drop(count);
    }
    return result;
  }

  void drop(std::size_t count) {
    remember(rest().substr(0, count));
    taken += count;
    if (taken == buffer.size()) {
      buffer.clear();
      taken = 0;
    }
  }

  static void require(const shared& self) {
    if (!self) throw closed("the stream is not open");
  }

  /// Waits for at least one more byte in the buffer; false at the end.
  static task<bool> fill(shared self, std::size_t most) {
    // Here and not at every `drop`, so that many short lines are not moved again and again.
    self->buffer.erase(0, std::exchange(self->taken, 0));
    for (;;) {
      self->require_open();
      if (self->ended) co_return false;
      const std::size_t before = self->buffer.size();
      self->buffer.resize(before + most);
      const ssize_t count = sys::read(self->fd.get(), self->buffer.data() + before, most);
      const int error = errno;
      self->buffer.resize(before + static_cast<std::size_t>(count > 0 ? count : 0));
      if (count > 0) co_return true;
      if (count == 0) {
        self->ended = true;
      } else if (error == EAGAIN || error == EWOULDBLOCK) {
        const std::size_t known = self->buffer.size();
        co_await self->wait();
        if (self->buffer.size() > known) co_return true;  // `fill_now` was faster
      } else if (error != EINTR) {
        sys::throw_errno("read", error);
      }
    }
  }

  static task<std::string> read(shared self, std::size_t most) {
    require(self);
    if (self->dropping) co_await drop_line(self);
    if (self->rest().empty() && most > 0) co_await fill(self, std::min(most, chunk));
    co_return self->take(std::min(most, self->rest().size()));
  }

  static task<std::optional<std::string>> read_line(shared self, std::size_t longest, long_line too_long) {
    require(self);
    std::size_t searched = 0;
    for (;;) {
      if (self->dropping) co_await drop_line(self);
      const std::size_t newline = self->rest().find('\n', searched);
      const std::size_t length = std::min(newline, self->rest().size());
      if (length > longest) {
        if (too_long == long_line::refuse)
          throw std::length_error("brood: a line is longer than its limit; see long_line");
        std::optional<std::string> beginning;
        if (too_long == long_line::truncate) beginning = self->rest().substr(0, longest);
        self->dropping = true;
        searched = 0;
        if (beginning) co_return beginning;
        continue;
      }
      if (newline != std::string_view::npos) {
        std::string line(self->rest().substr(0, length));
        self->drop(length + 1);
        co_return line;
      }
      searched = length;
      const bool more = co_await fill(self, chunk);
      if (!more) break;
    }
    if (self->rest().empty()) co_return std::nullopt;
    co_return self->take(self->rest().size());
  }

  /// The rest of a line, of which the beginning was too long. Who is cancelled here goes on here.
  static task<> drop_line(shared self) {
    for (;;) {
      const std::size_t newline = self->rest().find('\n');
      if (newline != std::string_view::npos) {
        self->drop(newline + 1);
        break;
      }
      self->drop(self->rest().size());
      const bool more = co_await fill(self, chunk);
      if (!more) break;
    }
    self->dropping = false;
  }

  static task<std::string> read_all(shared self, std::size_t most) {
    require(self);
    if (self->dropping) co_await drop_line(self);
    bool more = true;
    while (more) {
      if (self->rest().size() > most) throw std::length_error("brood: a stream is longer than its limit");
      more = co_await fill(self, chunk);
    }
    co_return self->take(self->rest().size());
  }
};

reader::reader(unique_fd fd) : state_(std::make_shared<state>(std::move(fd), fd_watch::readable)) {}

task<std::string> reader::read(std::size_t most) { return state::read(state_, most); }

task<std::optional<std::string>> reader::read_line(std::size_t longest, long_line too_long) {
  return state::read_line(state_, longest, too_long);
}

task<std::string> reader::read_all(std::size_t most) { return state::read_all(state_, most); }

void reader::close() noexcept {
  if (state_) state_->close();
}

void detail::keep_tail(reader& of) noexcept {
  if (of.state_) of.state_->keeps_tail = true;
}

std::string detail::tail_of(const reader& of, std::size_t most) {
  if (!of.state_) return {};
  reader::state& state = *of.state_;
  state.fill_now();
  const std::string all = state.tail + std::string(state.rest());
  if (all.size() <= most) return all;
  const std::size_t line = all.find('\n', all.size() - most);
  return all.substr(line == std::string::npos || line + 1 == all.size() ? all.size() - most : line + 1);
}

struct writer::state : waitable_fd {
  using waitable_fd::waitable_fd;

  static task<> write(std::shared_ptr<state> self, std::string bytes) {
    if (!self) throw closed("the stream is not open");
    std::string_view rest = bytes;
    while (!rest.empty()) {
      self->require_open();
      const ssize_t count = sys::write_quietly(self->fd.get(), rest);
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
};

writer::writer(unique_fd fd) : state_(std::make_shared<state>(std::move(fd), fd_watch::writable)) {}

task<> writer::write(std::string bytes) { return state::write(state_, std::move(bytes)); }

void writer::close() noexcept {
  if (state_) state_->close();
}

}  // namespace brood
