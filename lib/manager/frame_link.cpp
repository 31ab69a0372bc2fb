#include "manager/frame_link.hpp"

#include <sys/socket.h>

#include <exception>
#include <utility>

#include "system/stream_socket.hpp"

namespace brood::remote {

using sent_or_received = sys::stream_result::outcome;

frame_link::frame_link(runtime& loop, unique_fd socket, std::uint64_t longest, handler& owner)
    : socket_(std::move(socket)),
      reader_(longest),
      owner_(owner),
      watch_(loop, socket_.get(), [this](int events) { on_ready(events); }) {
  watch_.background();
  rearm();
}

void frame_link::flush() noexcept {
  try {
    while (!broken_ && unsent() > 0) {
      const auto result = sys::send_some(socket_.get(), std::span<const std::byte>(out_).subspan(sent_));
      if (result.state == sent_or_received::would_block) break;
      if (result.state == sent_or_received::gone) broken_ = true;
      sent_ += result.count;
    }
  } catch (const std::exception&) {
    broken_ = true;
    ::shutdown(socket_.get(), SHUT_RDWR);
  }
  // A broken socket is readable: the end is told from there, after the answers that have arrived, and not
  // from inside of whoever flushes.
  if (broken_) sent_ = out_.size();
  if (unsent() == 0) {
    out_.clear();
    if (out_.capacity() > kept_capacity) out_.shrink_to_fit();
    sent_ = 0;
  } else if (sent_ > kept_capacity) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(std::exchange(sent_, 0)));
  }
  rearm();
}

void frame_link::rearm() {
  const bool read = broken_ || unsent() < most_unsent;
  const int wanted = (read ? fd_watch::readable : 0) | (unsent() > 0 ? fd_watch::writable : 0);
  if (wanted == watched_) return;
  watched_ = wanted;
  watch_.watch(wanted);
}

/// Handles what the reader holds; false if that is to stop because nobody takes the answers.
bool frame_link::handle_frames() {
  while (unsent() < most_unsent) {
    const auto frame = reader_.next_in_place();
    if (!frame) return true;
    owner_.on_frame(*frame);
  }
  return false;
}

void frame_link::read_batch() {
  if (!handle_frames()) return;
  // One read for each turn: what is left makes the socket readable again, and others get their turn.
  const auto space = reader_.space();
  const auto got = sys::receive_some(socket_.get(), space);
  if (got.state == sent_or_received::gone) throw closed("the other side ended the connection");
  if (got.state == sent_or_received::would_block) return;
  reader_.filled(got.count);
  handle_frames();
}

void frame_link::on_ready(int events) noexcept {
  bool destroyed = false;
  destroyed_ = &destroyed;
  std::string why;
  try {
    if ((events & fd_watch::writable) != 0) flush();
    const bool stopped = unsent() >= most_unsent;
    if (!stopped) read_batch();
    if (destroyed) return;
    owner_.on_batch_end();
    if (destroyed) return;
    flush();
    destroyed_ = nullptr;
    return;
  } catch (const std::exception& e) {
    why = e.what();
  }
  if (destroyed) return;
  destroyed_ = nullptr;
  broken_ = true;
  watch_.watch(0);
  owner_.on_end(why);
}

}  // namespace brood::remote
