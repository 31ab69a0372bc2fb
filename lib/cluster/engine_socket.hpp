// The system calls of a connection to the engine.
#pragma once

#include <string>

#include "brood/channel/address.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::cluster::detail {

/// A socket that does not block and has begun to connect. Throws `std::system_error`.
unique_fd begin_connect(const address& where);
/// Once it is writable. Throws `std::system_error`: why it is not connected.
void finish_connect(int fd);
/// How many bytes the socket took, 0 for none now. Throws `std::system_error`.
std::size_t send_some(int fd, const char* bytes, std::size_t size);
/// How many bytes came, 0 for none now. Throws `std::system_error`, ECONNRESET also for the end of the stream.
std::size_t receive_some(int fd, char* bytes, std::size_t size);

}  // namespace brood::cluster::detail
