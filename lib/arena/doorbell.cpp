#include "brood/arena/detail/doorbell.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "arena/port_address.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::detail {
namespace {

int open_socket() noexcept { return sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

/// Whether this number could be had again if it were closed: the limit may have been lowered since.
bool is_below_limit(int fd) noexcept {
  rlimit limit{};
  return sys::getrlimit(RLIMIT_NOFILE, &limit) == 0 && static_cast<rlim_t>(fd) < limit.rlim_cur;
}

}  // namespace

void doorbell::open() {
  if (socket_ >= 0) return;
  socket_ = open_socket();
  if (socket_ < 0) sys::throw_errno("socket");
}

void doorbell::close() noexcept {
  if (socket_ >= 0) sys::close(std::exchange(socket_, -1));
}

doorbell::outcome doorbell::press(const std::uint64_t (&name)[2]) noexcept {
  const port_address address(name);
  const auto send = [&] {
    return sys::sendto(socket_, "", 1, MSG_NOSIGNAL, address.get(), address.length()) == 1;
  };
  if (send()) return outcome::sent;
  if (errno == ECONNREFUSED) return outcome::settled;  // nobody has that name any more: it is dead
  // Our buffer was full, or its, or there was no socket. Any other refusal says nothing of the receiver.
  if ((socket_ >= 0 && errno != EAGAIN) || !renew()) return outcome::not_yet;
  if (send()) return outcome::sent;
  // Still EAGAIN: datagrams are pending at it, so it will wake.
  return errno == EAGAIN || errno == ECONNREFUSED ? outcome::settled : outcome::not_yet;
}

/// A datagram counts against the buffer of its sender until it is read (unix(7), SO_SNDBUF), so a few hundred
/// sleepers that have not come round yet fill it. The buffer of a new socket is empty, and what was sent
/// through the old one stays with its receivers.
bool doorbell::renew() noexcept {
  int fresh = open_socket();
  if (fresh < 0 && errno == EMFILE && socket_ >= 0 && is_below_limit(socket_)) {
    close();  // for the number, which another thread may take first: then there is no socket for a while
    fresh = open_socket();
  }
  if (fresh < 0) return false;
  close();
  socket_ = fresh;
  return true;
}

void doorbell::await_room() const noexcept {
  pollfd room{socket_, POLLOUT, 0};  // a negative descriptor is ignored, poll(2)
  constexpr int patience = 1;        // ms, as a descriptor may be had without anything telling
  sys::poll(&room, 1, patience);
}

}  // namespace brood::detail
