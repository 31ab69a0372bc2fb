#include "system/socket.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>

#include "system/calls.hpp"
#include "system/error.hpp"
#include "system/pidfd.hpp"

namespace brood::sys {
namespace {

constexpr std::size_t most_fds = 16;  // of one message of ours

}  // namespace

std::pair<unique_fd, unique_fd> socket_pair() {
  int ends[2];
  if (sys::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) throw_errno("socketpair");
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

[[gnu::hot]] transfer send_message(int socket, std::initializer_list<std::span<const std::byte>> parts,
                                   std::span<const int> fds) {
  std::array<iovec, 4> vectors;
  msghdr message{};
  message.msg_iov = vectors.data();
  for (const auto& part : parts) {
    vectors[message.msg_iovlen++] = {const_cast<std::byte*>(part.data()), part.size()};
  }
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most_fds * sizeof(int))> control{};
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (sys::sendmsg(socket, &message, MSG_NOSIGNAL) >= 0) return transfer::done;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return transfer::would_block;
    if (errno == ETOOMANYREFS) return transfer::too_many_in_flight;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return transfer::gone;
    if (errno != EINTR) throw_errno("sendmsg");
  }
}

transfer send_surely(int socket, int peer, std::initializer_list<std::span<const std::byte>> parts,
                     std::span<const int> fds) {
  for (int pause = 1;; pause = std::min(2 * pause, 64)) {
    try {
      const transfer sent = send_message(socket, parts, fds);
      if (sent == transfer::done || sent == transfer::gone) return sent;
      if (sent == transfer::too_many_in_flight && !fds.empty())
        return sent;  // the caller may do without them
    } catch (const std::system_error& e) {
      if (e.code().value() != ENOBUFS && e.code().value() != ENOMEM) throw;
    }
    if (await_end(peer, pause)) return transfer::gone;
  }
}

transfer receive_message(int socket, std::span<std::byte> buffer, received& result) {
  iovec vector{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most_fds * sizeof(int))> control;
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  result.fds.clear();
  try {
    result.fds.reserve(most_fds);  // before there is anything that could be lost
  } catch (const std::bad_alloc&) {
    return transfer::would_block;
  }
  ssize_t size;
  do {
    size = sys::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (size < 0 && errno == EINTR);
  // Without memory the message stays where it is, and whoever waits for it is told of it again at once.
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOMEM || errno == ENOBUFS))
    return transfer::would_block;
  if (size < 0 && errno != ECONNRESET) throw_errno("recvmsg");
  if (size <= 0) return transfer::gone;  // we never send an empty message

  result.size = static_cast<std::size_t>(size);
  result.fds_lost = (message.msg_flags & MSG_CTRUNC) != 0;
  bool moved = true;  // else the next ones would be taken for those before them
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      unique_fd each(moved ? above_standard_streams(fd) : fd);
      moved = moved && each;
      if (moved) result.fds.push_back(std::move(each));
    }
  }
  if (!moved) result.fds_lost = true;
  return transfer::done;
}

}  // namespace brood::sys
