#include "swarm/tally.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <brood/brood.hpp>
#include <cerrno>
#include <cstring>
#include <span>
#include <stdexcept>

namespace swarm {
namespace {

/// Fetched by name once a process, as that costs more than hashing a small file.
const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (algorithm == nullptr) throw std::runtime_error("OpenSSL offers no SHA-256");
  return algorithm;
}

class sha256 {
 public:
  sha256() : context_(EVP_MD_CTX_new()) {
    if (context_ == nullptr) throw std::bad_alloc();
    restart();
  }
  ~sha256() { EVP_MD_CTX_free(context_); }
  sha256(const sha256&) = delete;
  sha256& operator=(const sha256&) = delete;

  void restart() { require(EVP_DigestInit_ex(context_, sha256_algorithm(), nullptr)); }
  void take(std::span<const std::uint8_t> bytes) {
    require(EVP_DigestUpdate(context_, bytes.data(), bytes.size()));
  }
  digest finish() {
    digest result;
    require(EVP_DigestFinal_ex(context_, result.data(), nullptr));
    return result;
  }

 private:
  static void require(int success) {
    if (success != 1) throw std::runtime_error("SHA-256 failed");
  }
  EVP_MD_CTX* context_;
};

/// What each byte does to a word.
struct byte_classes {
  std::uint8_t begins[256] = {};
  std::uint8_t continues[256] = {};
  constexpr byte_classes() {
    for (int c = 0; c < 256; ++c) {
      const bool space = c == ' ' || (c >= '\t' && c <= '\r');
      begins[c] = c > ' ' && c <= '~' ? 1 : 0;
      continues[c] = space ? 0 : 1;
    }
  }
};
constexpr byte_classes table;

/// Lines and words as `wc` of coreutils 9.1 counts them in the C locale: white space ends a word, a printable
/// character begins one, and any other byte does neither.
class word_counter {
 public:
  void take(std::span<const std::uint8_t> bytes) noexcept {
    for (const std::uint8_t c : bytes) {
      const unsigned inside = (inside_ & table.continues[c]) | table.begins[c];
      words += inside & (inside_ ^ 1u);
      lines += c == '\n' ? 1 : 0;
      inside_ = inside;
    }
  }

  std::uint64_t lines = 0;
  std::uint64_t words = 0;

 private:
  unsigned inside_ = 0;
};

/// Tells the parent now and then, not at every file.
class progress {
 public:
  void arrived() { send(step{.arrived = 1}); }
  void add(std::uint64_t files, std::uint64_t bytes) {
    unsent_.files += files;
    unsent_.bytes += bytes;
    if (unsent_.files >= 32 || unsent_.bytes >= 1024 * 1024) flush();
  }
  void flush() {
    if (unsent_.files + unsent_.bytes > 0) send(unsent_);
    unsent_ = step();
  }

 private:
  /// The children share one pipe; what is shorter than PIPE_BUF is written in one piece, pipe(7).
  static void send(const step& what) {
    while (write(STDOUT_FILENO, &what, sizeof what) < 0 && errno == EINTR) {
    }
  }
  step unsent_;
};

/// One byte is for each child. False if the parent has given up.
bool wait_at_start_line() {
  char start;
  ssize_t got;
  while ((got = read(STDIN_FILENO, &start, 1)) < 0 && errno == EINTR) {
  }
  return got == 1;
}

class share_counter {
 public:
  tally count(const std::vector<std::string>& paths) {
    progress_.arrived();
    if (!wait_at_start_line()) return {};
    buffer_.resize(std::size_t{64} * 1024);
    for (const std::string& path : paths) {
      if (const std::string wrong = count_file(path); !wrong.empty())
        result_.problems.push_back({path, wrong});
    }
    progress_.flush();
    return std::move(result_);
  }

 private:
  /// Adds the file to the result, the whole of it or, giving a reason, nothing. Since it was listed it may
  /// have vanished or have become something else, even a FIFO that would make `open` wait.
  std::string count_file(const std::string& path) {
    const brood::unique_fd file(
        open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
    struct stat status{};
    if (!file || fstat(file.get(), &status) != 0) {
      return errno == ENOENT ? "vanished" : errno == ELOOP ? "became a symbolic link" : std::strerror(errno);
    }
    if (!S_ISREG(status.st_mode)) return "is no regular file any more";
    return count_contents(file.get(), static_cast<std::uint64_t>(status.st_size));
  }

  /// A file that grows meanwhile is read to the size it had, or it might never end. A size of 0 can also mean
  /// that the file system does not know it, as in /proc.
  std::string count_contents(int file, std::uint64_t size) {
    const std::uint64_t most = size > 0 ? size : UINT64_MAX;
    std::uint64_t bytes = 0;
    word_counter text;
    hash_.restart();
    while (bytes < most) {
      const ssize_t got = read(file, buffer_.data(), std::min<std::uint64_t>(buffer_.size(), most - bytes));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return std::strerror(errno);
      if (got == 0) break;
      const auto piece = std::span<const std::uint8_t>(buffer_).first(static_cast<std::size_t>(got));
      hash_.take(piece);
      text.take(piece);
      bytes += piece.size();
      progress_.add(0, piece.size());
    }
    progress_.add(1, 0);
    ++result_.files;
    result_.bytes += bytes;
    result_.lines += text.lines;
    result_.words += text.words;
    result_.digests.push_back(hash_.finish());
    return {};
  }

  tally result_;
  sha256 hash_;
  progress progress_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace

void merge(tally& into, tally&& from) {
  into.files += from.files;
  into.bytes += from.bytes;
  into.lines += from.lines;
  into.words += from.words;
  into.digests.insert(into.digests.end(), from.digests.begin(), from.digests.end());
  std::move(from.problems.begin(), from.problems.end(), std::back_inserter(into.problems));
}

std::string combined(std::vector<digest> digests) {
  std::sort(digests.begin(), digests.end());
  sha256 hash;
  for (const digest& one : digests) hash.take(one);
  std::string text;
  for (const std::uint8_t byte : hash.finish()) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

tally count_share(const std::vector<std::string>& paths) { return share_counter().count(paths); }

void load_library() {
  sha256 hash;
  hash.finish();
}

}  // namespace swarm
