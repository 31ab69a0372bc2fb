// The address of a wake port: an abstract Unix socket (unix(7)) with a random name of 128 bits. Abstract, so that no
// kill leaves a file behind. Any local user could send to it, which is why a datagram means nothing but "look again".
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace brood::detail {

class port_address {
 public:
  explicit port_address(const std::uint64_t (&name)[2]) noexcept {
    address_.sun_family = AF_UNIX;
    const int written =
        std::snprintf(address_.sun_path + 1, sizeof address_.sun_path - 1, "brood-%016llx%016llx",
                      static_cast<unsigned long long>(name[0]), static_cast<unsigned long long>(name[1]));
    length_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(written));
  }
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t length() const noexcept { return length_; }

 private:
  sockaddr_un address_{};
  socklen_t length_ = 0;
};

}  // namespace brood::detail
