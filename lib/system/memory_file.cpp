#include "system/memory_file.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::sys {

unique_fd memory_file(std::span<const std::byte> contents) {
  unique_fd file = memory_file("brood-message", 0);
  while (!contents.empty()) {
    const ssize_t written = sys::write(file.get(), contents.data(), contents.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_errno("write");
    contents = contents.subspan(static_cast<std::size_t>(written));
  }
  return file;
}

unique_fd memory_file(const char* name, std::size_t size) {
  unique_fd file(sys::memfd_create(name, MFD_CLOEXEC));
  if (!file) throw_errno("memfd_create");
  if (size > 0 && sys::ftruncate(file.get(), static_cast<off_t>(size)) != 0) throw_errno("ftruncate");
  return file;
}

mapped_file::mapped_file(int fd, std::size_t size, access how) : size_(size) {
  if (size == 0) return;
  const bool shared = how == access::shared;
  void* data = sys::mmap(nullptr, size, shared ? PROT_READ | PROT_WRITE : PROT_READ,
                         shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) throw_errno("mmap");
  data_ = static_cast<std::byte*>(data);
}

mapped_file::mapped_file(mapped_file&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

mapped_file::~mapped_file() {
  if (data_ != nullptr) sys::munmap(data_, size_);
}

mapped_file map_whole(int fd) {
  struct stat status{};
  if (sys::fstat(fd, &status) != 0) throw_errno("fstat");
  return {fd, static_cast<std::size_t>(status.st_size), mapped_file::access::read_only};
}

}  // namespace brood::sys
