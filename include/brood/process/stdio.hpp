// stdio: where a standard stream of a child leads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

namespace brood {

/// Where a standard stream of a child leads: `inherit`, `null`, `piped`, a file, a descriptor.
class stdio {
 public:
  enum class kind : std::uint8_t { inherit, null, pipe, file, append, descriptor, to_stdout };

  explicit stdio(kind what) noexcept : kind_(what) {}
  /// A file: opened for reading as standard input, else created or emptied.
  stdio(std::filesystem::path path) : kind_(kind::file), path_(std::move(path)) {}
  stdio(const char* path) : stdio(std::filesystem::path(path)) {}
  stdio(const std::string& path) : stdio(std::filesystem::path(path)) {}
  /// Another descriptor of this process, which must stay open until the child has been started.
  stdio(int fd) noexcept : kind_(kind::descriptor), fd_(fd) {}

  kind what() const noexcept { return kind_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  int fd() const noexcept { return fd_; }

  static stdio appended(std::filesystem::path path) {
    stdio result(std::move(path));
    result.kind_ = kind::append;
    return result;
  }

 private:
  kind kind_;
  std::filesystem::path path_;
  int fd_ = -1;
};

/// The parent's own stream.
inline const stdio inherit{stdio::kind::inherit};
/// /dev/null.
inline const stdio null{stdio::kind::null};
/// A pipe to the parent, which reads or writes it as a `reader` or `writer`.
inline const stdio piped{stdio::kind::pipe};
/// For standard error: where standard output goes, as `2>&1` in a shell. What is written to both is in its order.
inline const stdio to_stdout{stdio::kind::to_stdout};
/// A file that is created if need be and written at its end.
inline stdio append_to(std::filesystem::path path) { return stdio::appended(std::move(path)); }

}  // namespace brood
