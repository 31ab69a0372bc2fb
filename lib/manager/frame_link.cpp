#include "manager/frame_link.hpp"

#include <sys/socket.h>

#include <exception>
#include <utility>

#include "system/calls.hpp"
#include "system/processors.hpp"
#include "system/stream_socket.hpp"

namespace brood::remote {

using sent_or_received = sys::stream_result::outcome;

namespace {

/// The link of this loop that has read last, and how often in a row.
thread_local const frame_link* last_in_use = nullptr;
thread_local unsigned in_a_row = 0;
constexpr unsigned enough_in_a_row = 8;

}  // namespace

frame_link::frame_link(runtime& loop, unique_fd socket, std::uint64_t longest, std::size_t most_unsent,
                       handler& owner)
    : loop_(loop),
      socket_(std::move(socket)),
      reader_(longest),
      most_unsent_(most_unsent),
      owner_(owner),
      spin_(sys::usable_processors()),
      watch_(loop, socket_.get(), [this](int events) { on_ready(events); }) {
  spinner_.owner = this;
  spinner_.run = [](detail::ready_node& node) noexcept { static_cast<link_node&>(node).owner->spin(); };
  resumer_.owner = this;
  resumer_.run = [](detail::ready_node& node) noexcept {
    bool found = false;
    static_cast<link_node&>(node).owner->handle(0, found);
  };
  watch_.background();
  rearm();
}

void frame_link::flush() noexcept {
  if (loop_.is_inherited()) return;
  try {
    const bool anything = unsent() > 0;
    while (!broken_ && unsent() > 0) {
      const auto result = sys::send_some(socket_.get(), std::span<const std::byte>(out_).subspan(sent_));
      if (result.state == sent_or_received::would_block) break;
      if (result.state == sent_or_received::gone) broken_ = true;
      sent_ += result.count;
    }
    if (anything && unsent() == 0) sent_all();
  } catch (const std::exception&) {
    broken_ = true;
    sys::shutdown(socket_.get(), SHUT_RDWR);
  }
  // A broken socket is readable: the end is told from there, after the answers that have arrived, and not from inside of
  // whoever flushes.
  if (broken_) sent_ = out_.size();
  if (unsent() == 0) {
    out_.clear();
    if (out_.capacity() > kept_capacity) out_.shrink_to_fit();
    sent_ = 0;
  } else if (sent_ > kept_capacity) {
    out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(std::exchange(sent_, 0)));
  }
  try {
    rearm();
  } catch (const std::exception&) {
    // Nobody would tell when it is ready: its end is read in the next turn of the ready queue.
    broken_ = true;
    sys::shutdown(socket_.get(), SHUT_RDWR);
    out_.clear();
    sent_ = 0;
    if (resumer_.previous == nullptr) loop_.post(resumer_);
  }
}

void frame_link::break_off() noexcept {
  broken_ = true;
  sys::shutdown(socket_.get(), SHUT_RDWR);
  flush();
}

void frame_link::rearm() {
  if (held_back_ && takes_more() && resumer_.previous == nullptr) loop_.post(resumer_);
  const bool read = broken_ || takes_more();
  const int wanted = (read ? fd_watch::readable : 0) | (unsent() > 0 ? fd_watch::writable : 0);
  if (wanted == watched_) return;
  watched_ = wanted;
  watch_.watch(wanted);
}

/// Handles what the reader holds; false if that is to stop because nobody takes the answers.
bool frame_link::handle_frames() {
  held_back_ = false;
  const bool* const destroyed = destroyed_;
  while (takes_more()) {
    const auto frame = reader_.next_in_place();
    if (!frame) return true;
    owner_.on_frame(*frame);
    if (*destroyed) return false;  // it was the answer to the last handle's last call
  }
  held_back_ = true;
  return false;
}

/// Whether anything came.
bool frame_link::read_batch() {
  if (!handle_frames()) return true;
  // One read for each turn: what is left makes the socket readable again, and others get their turn.
  const auto space = reader_.space();
  const auto got = sys::receive_some(socket_.get(), space);
  if (got.state == sent_or_received::gone) throw closed("the other side ended the connection");
  if (got.state == sent_or_received::would_block) return false;
  reader_.filled(got.count);
  handle_frames();
  return true;
}

bool frame_link::handle(int events, bool& found) noexcept {
  bool destroyed = false;
  destroyed_ = &destroyed;
  try {
    if ((events & fd_watch::writable) != 0) flush();
    if (takes_more()) found = read_batch();
    if (destroyed) return false;
    if (found) owner_.on_batch_end();
    if (destroyed) return false;
    if (found) flush();
    destroyed_ = nullptr;
    return true;
  } catch (const std::exception& e) {
    if (destroyed) return false;
    destroyed_ = nullptr;
    broken_ = true;
    watch_.watch(0);
    owner_.on_end(e.what());
  }
  return false;
}

void frame_link::on_ready(int events) noexcept {
  const bool answer_came = (events & fd_watch::readable) != 0 && sent_at_ != clock::time_point{};
  if (answer_came) spin_.slept(clock::now() - std::exchange(sent_at_, clock::time_point{}));
  bool found = false;
  handle(events, found);
}

// --- spinning ---

bool frame_link::is_favourite() noexcept {
  if (last_in_use != this) {
    last_in_use = this;
    in_a_row = 0;
  }
  if (in_a_row < enough_in_a_row) ++in_a_row;
  return in_a_row == enough_in_a_row;
}

void frame_link::sent_all() noexcept {
  const bool alone = is_favourite();
  sent_at_ = clock::now();
  if (!alone || !spin_.wanted()) return;
  // Twice as long as in shared memory: a look is a system call.
  spin_end_ = sent_at_ + 2 * spin_.limit();
  if (spinner_.previous == nullptr) loop_.post(spinner_);
}

void frame_link::spin() noexcept {
  bool found = false;
  if (last_in_use != this) return;
  if (!handle(fd_watch::readable, found)) return;
  if (found) {
    spin_.spun(true);
    return;
  }
  if (clock::now() < spin_end_) {
    if (spinner_.previous == nullptr) loop_.post(spinner_);
    return;
  }
  spin_.spun(false);
}

}  // namespace brood::remote
