// Descriptors as such, and who is at the other end of a socket.
#pragma once

#include "brood/runtime/unique_fd.hpp"

namespace brood::sys {

/// A duplicate, close-on-exec. Throws `std::system_error`: EBADF, EMFILE.
unique_fd duplicate(int fd);
/// Throws `std::system_error` (EBADF) if it is no descriptor.
void require_open(int fd);
/// Does the process at the other end of a Unix socket have this one's effective user id? As it was when it
/// connected, unix(7).
bool is_own_user(int socket) noexcept;

}  // namespace brood::sys
