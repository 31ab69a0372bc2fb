// The file by which a Unix socket is found.
#pragma once

#include <sys/types.h>

#include <string>

namespace brood::sys {

/// A socket file that this process made; removed with it. Mode 0600.
class socket_file {
 public:
  socket_file() = default;
  /// Binds `socket` to `path` and listens. The file appears there when the socket already listens, so whoever finds a
  /// file that refuses connections knows that its listener is dead: such a file, if it is this user's, is replaced.
  /// Any other is EADDRINUSE. Throws `std::system_error`.
  socket_file(int socket, const std::string& path);
  /// The same at a path of its own, in a new folder of mode 0700, which is removed too.
  static socket_file in_new_folder(int socket);
  socket_file(socket_file&& other) noexcept;
  socket_file& operator=(socket_file&& other) noexcept;
  ~socket_file() { remove(); }

  /// As it was given.
  const std::string& path() const noexcept { return path_; }
  /// Only if it is still this one's file, and this process made it.
  void remove() noexcept;

 private:
  std::string path_;
  std::string absolute_;
  std::string folder_;  // empty unless this made it
  dev_t device_ = 0;
  ino_t inode_ = 0;
  pid_t owner_ = 0;
};

}  // namespace brood::sys
