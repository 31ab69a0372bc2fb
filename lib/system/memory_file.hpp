// Bytes in a file that has no name: for what is too large for a message, memfd_create(2).
#pragma once

#include <cstddef>
#include <span>

#include "brood/system/unique_fd.hpp"

namespace brood::sys {

/// A file in memory that holds `contents`; close-on-exec.
unique_fd memory_file(std::span<const std::byte> contents);
/// A sparse file in memory of `size` zero bytes.
unique_fd memory_file(const char* name, std::size_t size);

/// A file mapped for reading, or shared for writing; unmapped when destroyed.
class mapped_file {
 public:
  mapped_file() = default;
  enum class access { read_only, shared };
  mapped_file(int fd, std::size_t size, access how);
  mapped_file(mapped_file&& other) noexcept;
  mapped_file& operator=(mapped_file&& other) noexcept;
  ~mapped_file();

  std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  std::span<const std::byte> contents() const noexcept { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The whole of a file in memory; its size is the file's.
mapped_file map_whole(int fd);

}  // namespace brood::sys
