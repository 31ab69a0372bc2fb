#include "channel/fd_depot.hpp"

#include <fmt/core.h>
#include <sys/random.h>

#include <cerrno>
#include <exception>
#include <iterator>
#include <utility>

#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"
#include "system/socket.hpp"

namespace brood::detail {
namespace {

depot_port random_port() {
  depot_port port;
  if (sys::getrandom(port.data(), sizeof port) != sizeof port) sys::throw_errno("getrandom");
  return port;
}

unique_fd listening_at(const sys::endpoint& where) {
  unique_fd socket = sys::stream_socket(where);
  sys::listen_at(socket.get(), where, "the place of shared descriptors");
  return socket;
}

}  // namespace

sys::endpoint depot_endpoint(const depot_port& port) {
  return sys::abstract_endpoint(fmt::format("brood-fd-{:016x}{:016x}", port[0], port[1]));
}

/// Whoever has come to ask. The request is there as soon as it has, or a moment later.
struct fd_depot::visitor {
  visitor(fd_depot& visited, unique_fd connected)
      : depot(visited),
        socket(std::move(connected)),
        watch(depot.loop_, socket.get(), [this](int) { serve(); }) {
    watch.watch(fd_watch::readable);
    watch.background();
  }

  /// The last thing it does may be to end this object.
  void serve() noexcept {
    try {
      if (!answer()) return;
    } catch (const std::exception&) {
      // The end of the stream says that there is none for it.
    }
    depot.end(*this);
  }

  /// False if the request is still to come.
  bool answer() {
    depot_request request{};
    sys::received message;
    const auto got =
        sys::receive_message(socket.get(), std::as_writable_bytes(std::span(&request, 1)), message);
    if (got == sys::transfer::would_block) return false;
    if (got == sys::transfer::gone || message.size != sizeof request) return true;
    if (request.wanted == depot_request::what::forget) depot.forget(request.ticket);
    if (request.wanted != depot_request::what::give) return true;
    const auto found = depot.kept_.find(request.ticket);
    if (found == depot.kept_.end()) return true;
    const std::byte here{1};
    const int fd = found->second.get();
    sys::send_message(socket.get(), {std::span(&here, 1)}, std::span(&fd, 1));
    return true;
  }

  fd_depot& depot;
  unique_fd socket;
  fd_watch watch;
  std::list<visitor>::iterator place;
};

fd_depot::fd_depot(runtime& loop)
    : loop_(loop),
      port_(random_port()),
      socket_(listening_at(depot_endpoint(port_))),
      spare_(sys::duplicate(socket_.get())),
      watch_(loop, socket_.get(), [this](int) { receive_visitors(); }) {
  watch_.watch(fd_watch::readable);
  watch_.background();
}

fd_depot::~fd_depot() = default;

task<> fd_depot::shut_down() {
  watch_.watch(0);
  visitors_.clear();
  socket_.reset();
  spare_.reset();
  kept_.clear();
  co_return;
}

std::uint64_t fd_depot::keep(unique_fd fd) {
  kept_.emplace(++last_ticket_, std::move(fd));
  return last_ticket_;
}

unique_fd fd_depot::copy(std::uint64_t ticket) const {
  const auto found = kept_.find(ticket);
  return found == kept_.end() ? unique_fd() : sys::duplicate(found->second.get());
}

void fd_depot::receive_visitors() {
  for (;;) {
    unique_fd guest = sys::accept_client(socket_.get());
    if (!guest) {
      if ((errno != EMFILE && errno != ENFILE) || !spare_) return;
      // Left in the queue it would make the loop spin.
      spare_.reset();
      guest = sys::accept_client(socket_.get());
      guest.reset();
      try {
        spare_ = sys::duplicate(socket_.get());
      } catch (const std::exception&) {
        return;  // another thread was faster
      }
      continue;
    }
    if (sys::user_of_peer(guest.get()) != geteuid()) continue;
    try {
      visitors_.emplace_back(*this, std::move(guest));
      visitors_.back().place = std::prev(visitors_.end());
      visitors_.back().serve();
    } catch (const std::exception&) {
      return;  // it sees the end of the stream
    }
  }
}

void fd_depot::end(visitor& guest) noexcept { visitors_.erase(guest.place); }

}  // namespace brood::detail
