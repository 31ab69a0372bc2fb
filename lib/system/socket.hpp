// Messages with descriptors between processes of the family: SOCK_SEQPACKET pairs, which keep message boundaries and
// say when the other side is gone.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "brood/system/unique_fd.hpp"

namespace brood::sys {

/// Two connected ends, close-on-exec, blocking.
std::pair<unique_fd, unique_fd> socket_pair();

/// `too_many_in_flight`: this user has as many descriptors under way in sockets as this process may have open (ETOOMANYREFS,
/// unix(7)). Nothing tells when there are fewer.
enum class transfer { done, would_block, gone, too_many_in_flight };

/// Sends `parts` as one message with `fds`. Never raises SIGPIPE. Throws `std::system_error` for anything but a full
/// buffer and a missing peer.
transfer send_message(int socket, std::initializer_list<std::span<const std::byte>> parts,
                      std::span<const int> fds = {});

/// For a message that must not be lost. Where the system refuses it only for now (no room, no memory) it is sent again, after
/// 1 ms and ever less often, until it is taken or the process of the pidfd `peer` has ended (`gone`).
transfer send_surely(int socket, int peer, std::initializer_list<std::span<const std::byte>> parts,
                     std::span<const int> fds = {});

struct received {
  std::size_t size = 0;
  std::vector<unique_fd> fds;
  bool fds_lost = false;  // this process is at its limit of descriptors, unix(7)
};

/// Receives one message into `buffer`, if there is one; `message` tells what came. Where there is no memory for it it stays
/// where it is, as if it had not come yet: who waits for it is told of it again.
transfer receive_message(int socket, std::span<std::byte> buffer, received& message);

/// Any object as bytes.
template <class T>
std::span<const std::byte> bytes_of(const T& object) noexcept {
  return std::as_bytes(std::span(&object, 1));
}

}  // namespace brood::sys
