// frame_link: frames in batches over a connected socket. What is read in one system call is handled as one batch, and what
// that batch and the coroutines it wakes have to say leaves in one write.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/idle_spin.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"
#include "channel/framing.hpp"

namespace brood::remote {

/// Thread: the loop's. Callbacks come from the loop, never from inside `flush`.
///
/// Two sides that answer each other at once spend most of a round trip on going to sleep and being woken. So
/// whoever has sent something looks for the answer for a moment, from the ready queue, by the rule of
/// idle_spin.hpp: only where the last answers came soon, and never with one processor. Of the links of a loop
/// only one that alone is in use spins.
class frame_link {
 public:
  class handler {
   public:
    /// One message; its bytes live for this call. What it throws ends the link.
    virtual void on_frame(std::span<const std::byte> frame) = 0;
    /// After the last frame of a batch.
    virtual void on_batch_end() = 0;
    /// The link carries nothing any more. May destroy it.
    virtual void on_end(const char* why) noexcept = 0;

   protected:
    ~handler() = default;
  };

  static constexpr std::size_t unlimited = SIZE_MAX;

  /// Takes over a connected, non-blocking socket. `longest` frame from the other side, and `most_unsent`, both in bytes:
  /// with more to send than that it does not read either. For one side of two at most, or each waits for the other.
  frame_link(runtime& loop, unique_fd socket, std::uint64_t longest, std::size_t most_unsent, handler& owner);
  ~frame_link() {
    loop_.withdraw(resumer_);
    loop_.withdraw(spinner_);
    if (destroyed_ != nullptr) *destroyed_ = true;
  }
  frame_link(const frame_link&) = delete;
  frame_link& operator=(const frame_link&) = delete;

  /// Whole frames, to be appended to and then flushed.
  bytes& out() noexcept { return out_; }
  /// Sends what the socket takes; the rest goes when it takes more.
  void flush() noexcept;
  /// For who cannot say something that has to be said: the link ends, which the loop tells.
  void break_off() noexcept;
  std::size_t unsent() const noexcept { return out_.size() - sent_; }
  int fd() const noexcept { return socket_.get(); }

 private:
  static constexpr std::size_t kept_capacity = std::size_t{1} << 20;

  struct link_node : detail::ready_node {
    frame_link* owner = nullptr;
  };

  void on_ready(int events) noexcept;
  /// False if this has been destroyed meanwhile; `found` whether anything was read.
  bool handle(int events, bool& found) noexcept;
  bool handle_frames();
  bool takes_more() const noexcept { return unsent() < most_unsent_; }
  bool read_batch();
  void sent_all() noexcept;
  void spin() noexcept;
  bool is_favourite() noexcept;
  void rearm();

  runtime& loop_;
  unique_fd socket_;
  detail::frame_reader reader_;
  const std::size_t most_unsent_;
  handler& owner_;
  bytes out_;
  std::size_t sent_ = 0;
  int watched_ = 0;
  bool broken_ = false;
  bool* destroyed_ = nullptr;
  detail::idle_spin spin_;
  link_node spinner_;
  bool held_back_ = false;  // frames are left in the reader, of which no event will tell
  link_node resumer_;
  clock::time_point sent_at_{};
  clock::time_point spin_end_{};
  fd_watch watch_;
};

}  // namespace brood::remote
