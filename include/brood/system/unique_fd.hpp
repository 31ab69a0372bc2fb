// unique_fd: owns one file descriptor.
#pragma once

#include <utility>

#include "brood/export.hpp"

namespace brood {

/// Closes its descriptor when destroyed. Empty at -1.
class BROOD_API unique_fd {
 public:
  unique_fd() = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    unique_fd taken(std::move(other));
    std::swap(fd_, taken.fd_);
    return *this;
  }
  ~unique_fd() { reset(); }

  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset() noexcept;
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace brood
