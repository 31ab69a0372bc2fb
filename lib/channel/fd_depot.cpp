#include "channel/fd_depot.hpp"

#include <fmt/core.h>
#include <sys/random.h>

#include <unistd.h>

#include <cerrno>
#include <exception>
#include <iterator>
#include <optional>
#include <system_error>
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
    constexpr int most_refusals = 16;
    try {
      if (!answer()) return;
    } catch (const std::system_error&) {
      // Refused now, so it is tried again in the next turn of the loop: the socket can be written to.
      if (++refusals < most_refusals) return watch.watch(fd_watch::readable | fd_watch::writable);
    } catch (const std::exception&) {
    }
    depot.end(*this);  // the end of the stream says that there is none for it
  }

  /// False if the request is still to come.
  bool answer() {
    if (!request) {
      depot_request asked{};
      sys::received message;
      const auto got =
          sys::receive_message(socket.get(), std::as_writable_bytes(std::span(&asked, 1)), message);
      if (got == sys::transfer::would_block) return false;
      if (got == sys::transfer::gone || message.size != sizeof asked) return true;
      request = asked;
    }
    if (request->wanted == depot_request::what::forget) depot.forget(request->ticket);
    if (request->wanted != depot_request::what::give) return true;
    const auto found = depot.kept_.find(request->ticket);
    if (found == depot.kept_.end()) return true;
    const std::byte here{1};
    const int fd = found->second.get();
    sys::send_message(socket.get(), {std::span(&here, 1)}, std::span(&fd, 1));
    return true;
  }

  std::optional<depot_request> request;
  int refusals = 0;
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
      watch_(loop, socket_.get(), [this](int) { receive_visitors(); }),
      retry_(loop, [this] {
        if (!receive_all()) return true;
        if (socket_) watch_.watch(fd_watch::readable);
        return false;
      }) {
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
  if (receive_all()) return;
  // Those who wait keep the socket readable, so watching it on would make the loop spin.
  watch_.watch(0);
  retry_.start();
}

/// False if some may still wait, as this process has no descriptor or no memory for them now.
bool fd_depot::receive_all() {
  while (socket_) {
    unique_fd guest = sys::accept_client(socket_.get());
    if (guest) {
      welcome(std::move(guest));
      continue;
    }
    const bool no_descriptor = errno == EMFILE || errno == ENFILE;
    if (!no_descriptor) return errno != ENOMEM && errno != ENOBUFS;
    // accept4 says so also if nobody waits. With the spare one it tells, and who waits is turned away.
    spare_.reset();
    guest = sys::accept_client(socket_.get());
    const bool anybody = static_cast<bool>(guest);
    const bool nobody = !anybody && (errno == EAGAIN || errno == EWOULDBLOCK);
    guest.reset();
    try {
      spare_ = sys::duplicate(socket_.get());
    } catch (const std::exception&) {
      return nobody;  // another thread was faster
    }
    if (!anybody) return nobody;
  }
  return true;
}

void fd_depot::welcome(unique_fd guest) noexcept {
  if (sys::user_of_peer(guest.get()) != geteuid()) return;
  try {
    visitors_.emplace_back(*this, std::move(guest));
    visitors_.back().place = std::prev(visitors_.end());
    visitors_.back().serve();
  } catch (const std::exception&) {  // it sees the end of the stream
  }
}

void fd_depot::end(visitor& guest) noexcept { visitors_.erase(guest.place); }

}  // namespace brood::detail
