#include "cluster/engine_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>

#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::cluster::detail {
namespace {

struct socket_name {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

socket_name unix_name(const address& where) {
  socket_name result;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const bool abstract = where.type() == address::kind::unix_abstract;
  const std::string path = (abstract ? std::string(1, '\0') : std::string()) + where.name();
  if (path.size() >= sizeof name.sun_path) sys::throw_errno("connect: the path is too long", ENAMETOOLONG);
  std::memcpy(name.sun_path, path.data(), path.size());
  std::memcpy(&result.bytes, &name, sizeof name);
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  return result;
}

socket_name tcp_name(const address& where) {
  socket_name result;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  const std::string host = where.name() == "localhost" ? "127.0.0.1" : where.name();
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(where.port());
    std::memcpy(&result.bytes, &v4, sizeof v4);
    result.size = sizeof v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(where.port());
    std::memcpy(&result.bytes, &v6, sizeof v6);
    result.size = sizeof v6;
  } else {
    throw std::invalid_argument("brood::cluster: an address is written in numbers, not " + host);
  }
  return result;
}

}  // namespace

unique_fd begin_connect(const address& where) {
  const bool tcp = where.type() == address::kind::tcp;
  if (where.type() == address::kind::chosen_by_listener) {
    throw std::invalid_argument("brood::cluster: no address of the engine was given");
  }
  const socket_name name = tcp ? tcp_name(where) : unix_name(where);
  unique_fd fd(sys::socket(name.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) sys::throw_errno("socket");
  if (tcp) {
    const int yes = 1;
    sys::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  const int status = sys::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name.bytes), name.size);
  if (status != 0 && errno != EINPROGRESS) sys::throw_errno("connect");
  return fd;
}

void finish_connect(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (sys::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) sys::throw_errno("getsockopt");
  if (error != 0) sys::throw_errno("connect", error);
}

std::size_t send_some(int fd, const char* bytes, std::size_t size) {
  for (;;) {
    const ssize_t sent = sys::send(fd, bytes, size, MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) sys::throw_errno("send");
  }
}

std::size_t receive_some(int fd, char* bytes, std::size_t size) {
  for (;;) {
    const ssize_t got = sys::recv(fd, bytes, size, 0);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) sys::throw_errno("recv: the engine closed the connection", ECONNRESET);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) sys::throw_errno("recv");
  }
}

}  // namespace brood::cluster::detail
