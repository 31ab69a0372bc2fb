// Stream sockets between unrelated processes: Unix and TCP, never blocking, close-on-exec.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "brood/export.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::sys {

/// An address as the system takes it.
struct endpoint {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

BROOD_API endpoint unix_endpoint(const std::string& path);
BROOD_API endpoint abstract_endpoint(const std::string& name);
/// `host` is a number, IPv4 or IPv6.
BROOD_API endpoint tcp_endpoint(const std::string& host, std::uint16_t port);

BROOD_API unique_fd stream_socket(const endpoint& where);
/// Binds to what is no file, and listens. `what` names the address in the error.
void listen_at(int socket, const endpoint& where, const std::string& what);
std::uint16_t bound_port(int socket);

/// A client, or empty with errno.
unique_fd accept_client(int socket) noexcept;
/// 0, or the errno: EINPROGRESS is settled once the socket is writable, see `pending_error`.
BROOD_API int start_connect(int socket, const endpoint& where) noexcept;
BROOD_API int pending_error(int socket) noexcept;

/// No delay for small messages; notices a peer whose machine is gone. Nothing for a Unix socket.
BROOD_API void tune(int socket) noexcept;

/// What was sent or received at once: a number of bytes, which for receive is 0 at the end of the stream; or why not.
struct stream_result {
  enum class outcome { done, would_block, gone } state;
  std::size_t count = 0;
};
/// Throws `std::system_error` for what is neither a full buffer nor a missing peer. Never raises SIGPIPE.
BROOD_API stream_result send_some(int socket, std::span<const std::byte> bytes);
/// The end of the stream is `gone`.
BROOD_API stream_result receive_some(int socket, std::span<std::byte> space);

}  // namespace brood::sys
