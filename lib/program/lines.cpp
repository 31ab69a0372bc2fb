// Reading is by callbacks, so that a generator that is destroyed between two lines leaves nothing running. A piece of what a
// stream gave waits as it was read; it is cut into lines only when it is taken.
//
// A stream (loop thread):
//   watched --readable, room--> watched, one piece more
//   watched --readable, no room, wait--> paused, in a line for room --room--> watched
//   watched --readable, no room, drop--> watched, lines counted; `torn` until the next newline
//   watched or paused --end--> ended, one last piece
#include "brood/program/lines.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "brood/coroutine/async_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "runtime/stream_state.hpp"

namespace brood {
namespace {

class line_merger {
 public:
  struct source {
    line_source what;
    std::optional<fd_watch> watch;
    bool ended = false;
    // While lines are dropped:
    bool torn = false;          // the last that was dropped has not ended
    std::uint64_t dropped = 0;  // not told yet
    // Of whoever takes the pieces:
    std::string partial;
    std::uint64_t untold = 0;
  };
  struct piece {
    source* from;
    std::string bytes;
    std::chrono::system_clock::time_point when;
    std::uint64_t dropped;  // before it
    bool last;
  };

  line_merger(std::vector<line_source> sources, const line_options& options)
      : options_(options), sources_(sources.size()), running_(sources.size()) {
    for (std::size_t i = 0; i < sources.size(); ++i) begin(sources_[i], std::move(sources[i]));
  }

  task<std::optional<piece>> next() {
    while (pieces_.empty()) {
      if (failure_) std::rethrow_exception(failure_);
      if (running_ == 0) co_return std::nullopt;
      came_.clear();
      co_await came_.wait();
    }
    piece result = std::move(pieces_.front());
    pieces_.pop_front();
    waiting_ -= cost(result);
    while (has_room() && !paused_.empty()) resume();
    co_return result;
  }

 private:
  static std::size_t cost(const piece& p) noexcept { return sizeof p + p.bytes.size(); }
  bool has_room() const noexcept { return waiting_ < options_.window || pieces_.empty(); }

  void begin(source& s, line_source what) {
    s.what = std::move(what);
    auto* state = detail::stream_access::of(s.what.from);
    if (state == nullptr || !state->fd) return end(s);
    if (!state->rest().empty()) push(s, state->take(state->rest().size()));
    if (state->ended) return end(s);
    state->watch.reset();  // of who has read before: a descriptor has one
    s.watch.emplace(runtime::current(), state->fd.get(), [this, &s](int) { on_ready(s); });
    s.watch->watch(fd_watch::readable);
  }

  void on_ready(source& s) {
    if (options_.full == when_full::wait && !has_room()) {
      s.watch->watch(0);
      paused_.push_back(&s);
      return;
    }
    auto* state = detail::stream_access::of(s.what.from);
    if (!state->fd) return end(s);  // closed meanwhile
    if (!state->rest().empty()) return push(s, state->take(state->rest().size()));  // read for a report, meanwhile
    const ssize_t count = sys::read(state->fd.get(), buffer_.data(), buffer_.size());
    const int error = errno;
    if (count > 0) {
      const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(count));
      state->remember(bytes);
      return take(s, bytes);
    }
    if (count == 0 || state->is_hung_up(error)) {
      state->ended = true;
      return end(s);
    }
    if (error == EAGAIN || error == EINTR) return;
    if (!failure_) {
      failure_ = std::make_exception_ptr(std::system_error(
          error, std::system_category(), "brood: cannot read what " + s.what.name + " writes"));
    }
    end(s);
  }

  void resume() {
    source& s = *paused_.front();
    paused_.pop_front();
    on_ready(s);
    if (!s.ended) s.watch->watch(fd_watch::readable);
  }

  void take(source& s, std::string_view bytes) {
    if (options_.full == when_full::drop && !has_room()) return drop(s, bytes);
    if (s.torn) {
      const std::size_t newline = bytes.find('\n');
      if (newline == std::string_view::npos) return;
      ++s.dropped;
      s.torn = false;
      bytes.remove_prefix(newline + 1);
    }
    if (!bytes.empty()) push(s, std::string(bytes));
  }

  static void drop(source& s, std::string_view bytes) {
    s.dropped += static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
    s.torn = bytes.back() != '\n';
  }

  void push(source& s, std::string bytes, bool last = false) {
    pieces_.push_back(
        {&s, std::move(bytes), std::chrono::system_clock::now(), std::exchange(s.dropped, 0), last});
    waiting_ += cost(pieces_.back());
    came_.set();
  }

  void end(source& s) {
    if (std::exchange(s.ended, true)) return;
    s.watch.reset();
    if (std::exchange(s.torn, false)) ++s.dropped;
    push(s, {}, true);
    --running_;
  }

  const line_options options_;
  std::vector<source> sources_;
  std::size_t running_;
  std::deque<piece> pieces_;
  std::size_t waiting_ = 0;     // bytes
  std::deque<source*> paused_;  // in the order in which they came
  std::exception_ptr failure_;
  async_event came_;
  std::vector<char> buffer_ = std::vector<char>(16 * 1024);
};

/// Takes the next line, or a piece of one, from the front of `bytes`; nothing if it has not ended.
bool take_line(line_merger::source& s, std::string_view& bytes, std::size_t longest, output_line& line) {
  const std::size_t newline = bytes.find('\n');
  const std::size_t length = std::min(newline, bytes.size());
  const std::size_t room = longest - s.partial.size();
  line.continues = length > room;
  if (!line.continues && newline == std::string_view::npos) {
    s.partial += bytes;
    bytes = {};
    return false;
  }
  line.text = std::exchange(s.partial, {});
  line.text += bytes.substr(0, std::min(length, room));
  bytes.remove_prefix(line.continues ? room : length + 1);
  return true;
}

generator<output_line> cut(std::unique_ptr<line_merger> merger, std::size_t longest) {
  while (auto piece = co_await merger->next()) {
    line_merger::source& s = *piece->from;
    // The end of a line that had begun was dropped, and counted.
    if (piece->dropped > 0) s.partial.clear();
    s.untold += piece->dropped;
    output_line line;
    line.stream = s.what.stream;
    line.when = piece->when;
    for (std::string_view rest = piece->bytes; !rest.empty();) {
      if (!take_line(s, rest, longest, line)) break;
      line.name = s.what.name;
      line.dropped = std::exchange(s.untold, 0);
      co_yield moved{line};
    }
    if (!piece->last || (s.partial.empty() && s.untold == 0)) continue;
    line.name = s.what.name;
    line.text = std::exchange(s.partial, {});
    line.continues = false;
    line.dropped = std::exchange(s.untold, 0);
    co_yield moved{line};
  }
}

}  // namespace

generator<output_line> lines(std::vector<line_source> sources, line_options options) {
  return cut(std::make_unique<line_merger>(std::move(sources), options),
             std::max<std::size_t>(options.longest, 1));
}

}  // namespace brood
