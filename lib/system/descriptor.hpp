// Descriptors as such, and who is at the other end of a socket.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string_view>

#include "brood/system/unique_fd.hpp"

namespace brood::sys {

/// Opens /dev/null as each of 0, 1 and 2 that is closed: for descriptors that others make for us (libuv).
void fill_standard_streams() noexcept;

/// A duplicate, close-on-exec. Throws `std::system_error`: EBADF, EMFILE.
unique_fd duplicate(int fd);
/// Throws `std::system_error` (EBADF) if it is no descriptor.
void require_open(int fd);
void set_nonblocking(int fd, bool yes);

/// write(2) that does not raise SIGPIPE. Only a socket can say so for each call; for a pipe the signal is blocked around
/// the call and, if it was raised, taken back. The host's own disposition stays as it is.
ssize_t write_quietly(int fd, std::string_view bytes) noexcept;

/// splice(2) that does not raise SIGPIPE either.
ssize_t splice_quietly(int from, int to, std::size_t size) noexcept;

/// The effective user of the process at the other end of a Unix socket, when it connected; unix(7). Nothing if that
/// cannot be told.
std::optional<uid_t> user_of_peer(int socket) noexcept;

}  // namespace brood::sys
