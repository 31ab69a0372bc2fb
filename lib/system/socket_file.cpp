#include "system/socket_file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "brood/system/unique_fd.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"
#include "system/stream_socket.hpp"

namespace brood::sys {
namespace {

/// A folder held open: short names for what may be at the end of a long path, as sun_path holds 108 bytes.
class open_folder {
 public:
  explicit open_folder(const std::string& path)
      : fd_(sys::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (!fd_) throw_errno("open " + path);
  }
  int fd() const noexcept { return fd_.get(); }
  endpoint socket(const std::string& name) const {
    return unix_endpoint(fmt::format("/proc/self/fd/{}/{}", fd_.get(), name));
  }

 private:
  unique_fd fd_;
};

/// A file of this user's that nobody listens at any more.
bool is_stale(const open_folder& folder, const std::string& name) {
  struct stat found;
  if (sys::fstatat(folder.fd(), name.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT;
  if (!S_ISSOCK(found.st_mode) || found.st_uid != geteuid()) return false;
  const endpoint there = folder.socket(name);
  const unique_fd probe = stream_socket(there);
  return start_connect(probe.get(), there) == ECONNREFUSED;
}

/// Two listeners must not both find the same file stale, or the second would replace the first: one at a time, by a lock
/// on the folder. Whoever does not get it at once leaves the file as it is.
bool replace_stale(const open_folder& folder, const std::string& temporary, const std::string& name) {
  if (sys::flock(folder.fd(), LOCK_EX | LOCK_NB) != 0) return false;
  const bool replaced =
      is_stale(folder, name) && renameat(folder.fd(), temporary.c_str(), folder.fd(), name.c_str()) == 0;
  sys::flock(folder.fd(), LOCK_UN);
  return replaced;
}

std::string temporary_name() {
  std::uint64_t random = 0;
  if (sys::getrandom(&random, sizeof random) != sizeof random) throw_errno("getrandom");
  return fmt::format(".brood-{:016x}", random);
}

/// Makes a folder that only this user can enter.
std::string make_folder() {
  const char* of_user = getenv("XDG_RUNTIME_DIR");
  const bool usable = of_user != nullptr && of_user[0] == '/' && sys::access(of_user, W_OK | X_OK) == 0;
  std::string path =
      (usable ? std::string(of_user) : std::filesystem::temp_directory_path().string()) + "/brood-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) throw_errno("mkdtemp " + path);
  return path;
}

}  // namespace

socket_file::socket_file(int socket, const std::string& path)
    : path_(path), absolute_(std::filesystem::absolute(path)) {
  const std::filesystem::path full(absolute_);
  const open_folder folder(full.parent_path().string());
  const std::string name = full.filename();
  const std::string temporary = temporary_name();
  if (sys::fchmod(socket, 0600) != 0)
    throw_errno("fchmod");  // the mode that bind gives the file, before the umask
  listen_at(socket, folder.socket(temporary), path);
  struct stat made{};
  sys::fstatat(folder.fd(), temporary.c_str(), &made, AT_SYMLINK_NOFOLLOW);
  if (renameat2(folder.fd(), temporary.c_str(), folder.fd(), name.c_str(), RENAME_NOREPLACE) != 0) {
    int code = errno;
    if (code == EEXIST && replace_stale(folder, temporary, name)) code = 0;
    if (code != 0) {
      unlinkat(folder.fd(), temporary.c_str(), 0);
      throw_errno("bind " + path, code == EEXIST ? EADDRINUSE : code);
    }
  }
  device_ = made.st_dev;
  inode_ = made.st_ino;
  owner_ = getpid();
}

socket_file socket_file::in_new_folder(int socket) {
  const std::string folder = make_folder();
  try {
    socket_file result(socket, folder + "/socket");
    result.folder_ = folder;
    return result;
  } catch (...) {
    rmdir(folder.c_str());
    throw;
  }
}

socket_file::socket_file(socket_file&& other) noexcept
    : path_(std::move(other.path_)),
      absolute_(std::move(other.absolute_)),
      folder_(std::move(other.folder_)),
      device_(other.device_),
      inode_(other.inode_),
      owner_(std::exchange(other.owner_, 0)) {}

socket_file& socket_file::operator=(socket_file&& other) noexcept {
  if (this == &other) return *this;
  remove();
  path_ = std::move(other.path_);
  absolute_ = std::move(other.absolute_);
  folder_ = std::move(other.folder_);
  device_ = other.device_;
  inode_ = other.inode_;
  owner_ = std::exchange(other.owner_, 0);
  return *this;
}

void socket_file::remove() noexcept {
  if (std::exchange(owner_, 0) != getpid()) return;
  struct stat found;
  if (sys::lstat(absolute_.c_str(), &found) == 0 && found.st_dev == device_ && found.st_ino == inode_) {
    sys::unlink(absolute_.c_str());
  }
  if (!folder_.empty()) rmdir(folder_.c_str());
}

}  // namespace brood::sys
