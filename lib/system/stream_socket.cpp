#include "system/stream_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::sys {
namespace {

void set_option(int socket, int level, int name) noexcept {
  const int on = 1;
  sys::setsockopt(socket, level, name, &on, sizeof on);
}

template <class Address>
endpoint endpoint_of(const Address& address, std::size_t size = sizeof(Address)) {
  endpoint result;
  std::memcpy(&result.storage, &address, size);
  result.size = static_cast<socklen_t>(size);
  return result;
}

endpoint unix_name(const std::string& name, std::size_t offset) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t size = std::min(name.size(), sizeof address.sun_path - 1);
  std::memcpy(address.sun_path + offset, name.data(), size);
  return endpoint_of(address, offsetof(sockaddr_un, sun_path) + size + 1);
}

/// A peer that cannot be reached any more.
bool is_gone(int code) noexcept {
  return code == EPIPE || code == ECONNRESET || code == ENOTCONN || code == ETIMEDOUT ||
         code == EHOSTUNREACH || code == ENETUNREACH || code == ENETDOWN || code == ECONNREFUSED;
}

}  // namespace

endpoint unix_endpoint(const std::string& path) { return unix_name(path, 0); }
endpoint abstract_endpoint(const std::string& name) { return unix_name(name, 1); }

endpoint tcp_endpoint(const std::string& host, std::uint16_t port) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) return endpoint_of(v4);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) throw_errno("inet_pton " + host, EINVAL);
  return endpoint_of(v6);
}

unique_fd stream_socket(const endpoint& where) {
  unique_fd socket(sys::socket(where.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) throw_errno("socket");
  return socket;
}

void listen_at(int socket, const endpoint& where, const std::string& what) {
  if (where.storage.ss_family != AF_UNIX) {
    set_option(socket, SOL_SOCKET, SO_REUSEADDR);  // connections that have ended do not hold the port, tcp(7)
    if (where.storage.ss_family == AF_INET6) set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY);
  }
  if (sys::bind(socket, where.get(), where.size) != 0) throw_errno("bind " + what);
  if (sys::listen(socket, SOMAXCONN) != 0) throw_errno("listen " + what);
}

std::uint16_t bound_port(int socket) {
  endpoint bound;
  bound.size = sizeof bound.storage;
  if (sys::getsockname(socket, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size) != 0)
    throw_errno("getsockname");
  if (bound.storage.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<sockaddr_in6&>(bound.storage).sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in&>(bound.storage).sin_port);
}

unique_fd accept_client(int socket) noexcept {
  int client;
  do {
    client = sys::accept4(socket, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } while (client < 0 && errno == EINTR);
  return unique_fd(client);
}

int start_connect(int socket, const endpoint& where) noexcept {
  if (sys::connect(socket, where.get(), where.size) == 0) return 0;
  return errno == EINTR ? EINPROGRESS : errno;  // interrupted, it goes on all the same, connect(2)
}

int pending_error(int socket) noexcept {
  int code = 0;
  socklen_t size = sizeof code;
  return sys::getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size) == 0 ? code : errno;
}

void tune(int socket) noexcept {
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  if (sys::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0 || family == AF_UNIX) return;
  set_option(socket, IPPROTO_TCP, TCP_NODELAY);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE);
}

stream_result send_some(int socket, std::span<const std::byte> bytes) {
  for (;;) {
    const ssize_t count = sys::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) return {stream_result::outcome::done, static_cast<std::size_t>(count)};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {stream_result::outcome::would_block};
    if (is_gone(errno)) return {stream_result::outcome::gone};
    if (errno != EINTR) throw_errno("send");
  }
}

stream_result receive_some(int socket, std::span<std::byte> space) {
  for (;;) {
    const ssize_t count = sys::recv(socket, space.data(), space.size(), 0);
    if (count > 0) return {stream_result::outcome::done, static_cast<std::size_t>(count)};
    if (count == 0 || is_gone(errno)) return {stream_result::outcome::gone};
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {stream_result::outcome::would_block};
    if (errno != EINTR) throw_errno("recv");
  }
}

}  // namespace brood::sys
