#include "brood/system/unique_fd.hpp"

#include <unistd.h>

namespace brood {

[[gnu::hot]] void unique_fd::reset() noexcept {
  // Not repeated on EINTR: on Linux the descriptor is gone all the same, close(2).
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace brood
