#include "channel/socket_service.hpp"

#include <sys/socket.h>

#include <exception>
#include <utility>
#include <vector>

#include "channel/listener_core.hpp"

namespace brood::detail {

/// One closed channel with the rest of its last message.
struct socket_service::departure : timer_node {
  departure(socket_service& s, unique_fd connected, outbox bytes)
      : service(s),
        socket(std::move(connected)),
        last(std::move(bytes)),
        watch(s.loop_, socket.get(), [this](int) { go_on(); }) {
    run = [](ready_node& node) noexcept {
      auto& self = static_cast<departure&>(static_cast<timer_node&>(node));
      self.service.end(self);
    };
    be_patient();
    watch.watch(fd_watch::writable);
  }
  ~departure() { service.loop_.stop_timer(*this); }

  void go_on() {
    const std::size_t before = last.sent;
    bool more = false;
    try {
      more = last.flush(socket.get()) && !last.empty();
    } catch (const std::exception&) {
    }
    if (!more) return service.end(*this);
    if (last.sent != before) be_patient();
  }
  void be_patient() {
    service.loop_.stop_timer(*this);
    due = clock::now() + patience;
    service.loop_.start_timer(*this);
  }

  socket_service& service;
  unique_fd socket;
  outbox last;
  fd_watch watch;
  std::list<departure>::iterator place;
};

socket_service::socket_service(runtime& loop) : loop_(loop) {}
socket_service::~socket_service() = default;

task<> socket_service::shut_down() {
  const std::vector<listener_core*> open(listeners_.begin(), listeners_.end());
  for (listener_core* listener : open) listener->close();
  while (!departures_.empty()) co_await all_gone_.wait();
  ended_ = true;
}

void socket_service::send_and_close(unique_fd socket, outbox last) noexcept {
  if (ended_) return;
  try {
    departures_.emplace_back(*this, std::move(socket), std::move(last));
    departures_.back().place = std::prev(departures_.end());
  } catch (const std::exception&) {
  }
}

void socket_service::end(departure& d) noexcept {
  departures_.erase(d.place);
  if (departures_.empty()) all_gone_.notify_all();
}

}  // namespace brood::detail
