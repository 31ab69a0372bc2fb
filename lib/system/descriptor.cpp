#include "system/descriptor.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/error.hpp"

namespace brood::sys {

unique_fd duplicate(int fd) {
  unique_fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) throw_errno("fcntl F_DUPFD_CLOEXEC");
  return copy;
}

void require_open(int fd) {
  if (fcntl(fd, F_GETFD) < 0) throw_errno("fcntl F_GETFD");
}

bool is_own_user(int socket) noexcept {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

}  // namespace brood::sys
