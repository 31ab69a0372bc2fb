// What reader and writer are handles of. They try the system call first and wait only when it would block: most reads cost
// one call.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "brood/coroutine/error.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/runtime/stream.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"

namespace brood {
namespace detail {

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

}  // namespace detail

// The members of `reader` and `writer` are plain functions that hand over the state, so that the tasks they give do
// not refer to a reader or writer that may be a temporary.
struct reader::state : detail::waitable_fd {
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

  /// Of a terminal of ours, that nobody has its other end open; pty(7).
  bool is_hung_up(int error) const noexcept { return error == EIO && isatty(fd.get()) == 1; }

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
      if (count == 0 || self->is_hung_up(error)) {
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

  static task<std::string> read_exactly(shared self, std::size_t count) {
    require(self);
    if (self->dropping) co_await drop_line(self);
    while (self->rest().size() < count) {
      const bool more = co_await fill(self, std::clamp(count - self->rest().size(), std::size_t{1}, chunk));
      if (!more) {
        throw closed("the stream ended after " + std::to_string(self->rest().size()) + " of " +
                     std::to_string(count) + " bytes");
      }
    }
    co_return self->take(count);
  }

  static task<std::string> read_until(shared self, std::string end, std::size_t most) {
    require(self);
    if (self->dropping) co_await drop_line(self);
    for (std::size_t searched = 0;;) {
      const std::size_t found = self->rest().find(end, searched);
      if (found != std::string_view::npos && found + end.size() <= most)
        co_return self->take(found + end.size());
      if (std::min(found, self->rest().size()) > most)
        throw std::length_error("brood: a stream is longer than its limit before what ends it");
      // What ends it may have begun.
      searched = self->rest().size() -
                 std::min(self->rest().size(), end.size() - std::min<std::size_t>(end.size(), 1));
      const bool more = co_await fill(self, chunk);
      if (!more) co_return self->take(self->rest().size());
    }
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

struct writer::state : detail::waitable_fd {
  using waitable_fd::waitable_fd;

  static task<> write(std::shared_ptr<state> self, std::string text) {
    co_await write_view(std::move(self), text);
  }

  static task<> write_view(std::shared_ptr<state> self, std::string_view rest) {
    if (!self) throw closed("the stream is not open");
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

namespace detail {

/// For who reads and writes streams in other ways.
struct stream_access {
  using reader_state = reader::state;
  static reader::state* of(const reader& r) noexcept { return r.state_.get(); }
  static writer::state* of(const writer& w) noexcept { return w.state_.get(); }
  static const std::shared_ptr<reader::state>& shared(const reader& r) noexcept { return r.state_; }
};

}  // namespace detail
}  // namespace brood
