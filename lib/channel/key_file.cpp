#include "brood/channel/key_file.hpp"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <stdexcept>
#include <string>

#include "brood/system/unique_fd.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood {

authkey key_from_file(const std::filesystem::path& file) {
  const unique_fd fd(sys::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) sys::throw_errno("open " + file.string());
  struct stat status{};
  if (sys::fstat(fd.get(), &status) != 0) sys::throw_errno("fstat " + file.string());
  if ((status.st_mode & 077) != 0) {
    throw std::invalid_argument("brood: others can read the key in " + file.string() + ": chmod 600 it");
  }
  std::string text(4096, '\0');
  const ssize_t size = sys::read(fd.get(), text.data(), text.size());
  if (size < 0) sys::throw_errno("read " + file.string());
  text.resize(static_cast<std::size_t>(size));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) throw std::invalid_argument("brood: the key in " + file.string() + " is empty");
  authkey key(text);
  explicit_bzero(text.data(), text.size());
  return key;
}

}  // namespace brood
