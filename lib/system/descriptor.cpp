#include "system/descriptor.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::sys {

void fill_standard_streams() noexcept {
  for (int stream = 0; stream < first_descriptor; ++stream) {
    if (::fcntl(stream, F_GETFD) >= 0) continue;
    const int null = ::open("/dev/null", O_RDWR);    // the lowest number that is free; programs inherit it
    if (null != stream && null >= 0) ::close(null);  // another thread was faster
  }
}

unique_fd duplicate(int fd) {
  unique_fd copy(sys::fcntl(fd, F_DUPFD_CLOEXEC, first_descriptor));
  if (!copy) throw_errno("fcntl F_DUPFD_CLOEXEC");
  return copy;
}

void require_open(int fd) {
  if (sys::fcntl(fd, F_GETFD) < 0) throw_errno("fcntl F_GETFD");
}

void set_nonblocking(int fd, bool yes) {
  const int flags = sys::fcntl(fd, F_GETFL);
  if (flags < 0 || sys::fcntl(fd, F_SETFL, yes ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
    throw_errno("fcntl");
}

namespace {

/// Makes a call with SIGPIPE blocked, and takes the signal back if the call raised it.
template <class Call>
ssize_t without_pipe_signal(Call call) noexcept {
  sigset_t pipe_signal;
  sigset_t previous;
  sigset_t pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &previous);
  const ssize_t written = call();
  const int error = errno;
  if (written < 0 && error == EPIPE && !was_pending) {
    const timespec at_once{};
    sigtimedwait(&pipe_signal, nullptr, &at_once);
  }
  pthread_sigmask(SIG_SETMASK, &previous, nullptr);
  errno = error;
  return written;
}

}  // namespace

ssize_t write_quietly(int fd, std::string_view bytes) noexcept {
  const ssize_t sent = sys::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  return without_pipe_signal([&] { return sys::write(fd, bytes.data(), bytes.size()); });
}

ssize_t splice_quietly(int from, int to, std::size_t size) noexcept {
  return without_pipe_signal([&] { return sys::splice(from, to, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK); });
}

std::optional<uid_t> user_of_peer(int socket) noexcept {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (sys::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}

}  // namespace brood::sys
