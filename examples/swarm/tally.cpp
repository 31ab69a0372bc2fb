#include "swarm/tally.hpp"

#include <fcntl.h>
#include <nettle/sha2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

namespace swarm {
namespace {

class sha256 {
 public:
  sha256() { restart(); }
  void restart() { sha256_init(&context_); }
  void take(std::span<const std::uint8_t> bytes) { sha256_update(&context_, bytes.size(), bytes.data()); }
  /// Begins anew.
  digest finish() {
    digest result;
    sha256_digest(&context_, result.size(), result.data());
    return result;
  }

 private:
  sha256_ctx context_;
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

/// Lines and words as `wc` of coreutils 9.1 counts them in the C locale: white space ends a word, a printable character
/// begins one, and any other byte does neither.
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

class file_counter {
 public:
  file_counter() : buffer_(std::size_t{64} * 1024) {}

  tally count(const std::vector<std::string>& paths) {
    result_ = tally();
    for (const std::string& path : paths) {
      if (const std::string wrong = count_file(path); !wrong.empty())
        result_.problems.push_back({path, wrong});
    }
    return std::move(result_);
  }

 private:
  /// Adds the file to the result, the whole of it or, giving a reason, nothing. Since it was listed it may have vanished
  /// or have become something else, even a FIFO that would make `open` wait.
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

  /// A file that grows meanwhile is read to the size it had, or it might never end. A size of 0 can also mean that the
  /// file system does not know it, as in /proc.
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
    }
    ++result_.files;
    result_.bytes += bytes;
    result_.lines += text.lines;
    result_.words += text.words;
    result_.digests.push_back(hash_.finish());
    return {};
  }

  tally result_;
  sha256 hash_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace

tally count_files(const std::vector<std::string>& paths) { return file_counter().count(paths); }

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

brood::task<> count_batches(brood::queue<batch> todo, brood::queue<batch_result> results) {
  file_counter counter;
  while (auto leased = co_await todo.next_leased()) {
    const batch& files = **leased;
    const batch_result result{files.index, counter.count(files.paths)};
    co_await results.put(result);
    leased->done();
  }
}

}  // namespace swarm
