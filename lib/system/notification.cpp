#include "system/notification.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::sys {

notification_socket open_notification_socket() {
  notification_socket made;
  made.fd = unique_fd(sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made.fd) throw_errno("brood: cannot hear services: socket");
  const int on = 1;
  if (sys::setsockopt(made.fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
    throw_errno("brood: cannot hear services: setsockopt");
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  auto* const address = reinterpret_cast<sockaddr*>(&name);
  if (sys::bind(made.fd.get(), address, sizeof(sa_family_t)) != 0)
    throw_errno("brood: cannot hear services: bind");
  socklen_t size = sizeof name;
  if (sys::getsockname(made.fd.get(), address, &size) != 0)
    throw_errno("brood: cannot hear services: getsockname");
  made.address = "@" + std::string(name.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
  return made;
}

bool receive_notification(int socket, std::span<char> buffer, notification& message) {
  iovec vector{buffer.data(), buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(16 * sizeof(int))];
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size;
  do {
    size = sys::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return false;
  message.size = static_cast<std::size_t>(size);
  message.sender = 0;
  for (cmsghdr* each = CMSG_FIRSTHDR(&header); each != nullptr; each = CMSG_NXTHDR(&header, each)) {
    if (each->cmsg_level != SOL_SOCKET) continue;
    if (each->cmsg_type == SCM_CREDENTIALS) {
      ucred from;
      std::memcpy(&from, CMSG_DATA(each), sizeof from);
      message.sender = from.pid;
    } else if (each->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
        sys::close(fd);
      }
    }
  }
  return true;
}

bool send_notification(std::string_view address, std::string_view text, bool wait) noexcept {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (address.size() < 2 || address.size() > sizeof name.sun_path) return false;
  std::memcpy(name.sun_path, address.data(), address.size());
  std::size_t size = offsetof(sockaddr_un, sun_path) + address.size();
  if (address.front() == '@') {
    name.sun_path[0] = '\0';
  } else if (address.size() < sizeof name.sun_path) {
    ++size;  // the zero at the end
  }
  const unique_fd socket(sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return false;
  ssize_t sent;
  do {
    sent = sys::sendto(socket.get(), text.data(), text.size(), MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT),
                       reinterpret_cast<const sockaddr*>(&name), static_cast<socklen_t>(size));
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace brood::sys
