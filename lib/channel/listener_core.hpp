// listener_core: what a listener's handles share. Driven by callbacks alone, not by coroutines: whoever drops it ends
// everything at once.
#pragma once

#include <chrono>
#include <deque>
#include <list>
#include <optional>
#include <vector>

#include "brood/channel/address.hpp"
#include "brood/channel/authkey.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"
#include "channel/handshake.hpp"
#include "system/socket_file.hpp"

namespace brood::detail {

/// A client's way: in the system's queue, a stranger while its handshake runs, known once authenticated, then accepted.
/// Both strangers and known ones are bounded; beyond that clients stay in the system's queue. Where there are as many
/// strangers as may be, each has a tenth of the time: hundreds that say nothing hold up a good client that long at a
/// time for every `max_strangers` of them.
class listener_core {
 public:
  struct limits {
    std::uint64_t max_message;
    std::chrono::nanoseconds patience;
    std::size_t max_strangers;
    bool this_user_only = false;  // drops the clients of others before they say anything; Unix sockets only
  };

  listener_core(const address& where, authkey key, const limits& bounds);
  ~listener_core();
  listener_core(const listener_core&) = delete;
  listener_core& operator=(const listener_core&) = delete;

  /// A known client; empty if there is none now.
  unique_fd take();
  local_event& changed() noexcept { return changed_; }
  const address& where() const noexcept { return where_; }
  std::uint64_t max_message() const noexcept { return limits_.max_message; }
  void close() noexcept;
  bool is_closed() const noexcept { return !socket_; }

 private:
  static constexpr std::size_t max_known = 128;
  static constexpr std::chrono::milliseconds pause{100};  // after the system had no descriptor for a client

  struct stranger;
  struct alarm : timer_node {
    listener_core* owner;
  };

  void open(const address& where);
  void accept_clients() noexcept;
  void drop(stranger& client) noexcept;
  void welcome(stranger& client);
  void drop_the_late() noexcept;
  std::chrono::nanoseconds patience() const noexcept;
  /// Says what is to be waited for, after anything has changed.
  void rearm() noexcept;

  runtime& loop_;
  authkey key_;
  limits limits_;
  address where_;
  unique_fd socket_;
  sys::socket_file file_;
  std::optional<fd_watch> watch_;
  std::list<stranger> strangers_;  // the oldest first
  std::deque<unique_fd> known_;
  clock::time_point paused_until_{};
  alarm alarm_;
  local_event changed_;
};

}  // namespace brood::detail
