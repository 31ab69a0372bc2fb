// socket_service: what of this storey's sockets lives on beside the coroutines of a runtime, and ends with it.
#pragma once

#include <chrono>
#include <list>
#include <set>

#include "brood/coroutine/task.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "channel/socket_channel.hpp"

namespace brood::detail {

class listener_core;

/// Listeners, which it closes when the runtime ends, and the last messages of closed channels, which it sends.
class socket_service final : public runtime_service {
 public:
  /// How long the other side of a closed channel may take nothing of its last message.
  static constexpr std::chrono::seconds patience{5};

  explicit socket_service(runtime& loop);
  ~socket_service() override;
  task<> shut_down() override;

  void add(listener_core& listener) { listeners_.insert(&listener); }
  void remove(listener_core& listener) noexcept { listeners_.erase(&listener); }

  /// Sends the rest of `last`, then closes `socket`. What cannot be sent any more is dropped, as if this process died.
  void send_and_close(unique_fd socket, outbox last) noexcept;

 private:
  struct departure;
  void end(departure& d) noexcept;

  runtime& loop_;
  std::set<listener_core*> listeners_;
  std::list<departure> departures_;
  local_event all_gone_;
  bool ended_ = false;
};

}  // namespace brood::detail
