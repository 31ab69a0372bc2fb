#include "many/job.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "common/json.hpp"

namespace many {
namespace {

/// `word` with each {} replaced; counts how many.
std::string filled(const std::string& word, const std::string& line, int& count) {
  std::string result;
  std::size_t from = 0;
  for (std::size_t at; (at = word.find("{}", from)) != std::string::npos; from = at + 2, ++count) {
    result.append(word, from, at - from).append(line);
  }
  return result.append(word, from);
}

}  // namespace

std::vector<std::string> words_of(const std::vector<std::string>& pattern, const std::string& line) {
  if (pattern.empty()) return {"/bin/sh", "-c", line};
  std::vector<std::string> words;
  words.reserve(pattern.size() + 1);
  int places = 0;
  for (const auto& word : pattern) words.push_back(filled(word, line, places));
  if (places == 0) words.push_back(line);
  return words;
}

std::string log_line(const job& job, const outcome& outcome) {
  std::string command;
  for (const auto& word : job.words) command += (command.empty() ? "" : ",") + json_text(word);
  const double begin = std::chrono::duration<double>(outcome.begin.time_since_epoch()).count();
  std::string line =
      fmt::format(R"({{"job":{},"command":[{}],"begin":{:.6f},"seconds":{:.6f},"attempts":{},)", job.number,
                  command, begin, outcome.seconds, outcome.attempts);
  if (!outcome.error.empty()) return line + fmt::format(R"("error":{}}})", json_text(outcome.error)) + '\n';
  const auto& status = outcome.status;
  const auto seconds = [](auto time) { return std::chrono::duration<double>(time).count(); };
  return line +
         fmt::format(
             R"("exitcode":{},"signal":{},"deadline_passed":{},"user":{:.6f},"system":{:.6f},"peak_memory":{}}})",
             status.exitcode, status.signal, status.deadline_passed, seconds(status.usage.user_time),
             seconds(status.usage.system_time), status.usage.peak_memory) +
         '\n';
}

list::list(const std::string& path, char separator) : separator_(separator) {
  // A description of our own: the reader makes it non-blocking, which whoever else has standard input must not notice.
  const std::string name = path == "-" ? "/proc/self/fd/0" : path;
  file_ = brood::unique_fd(open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file_) throw std::system_error(errno, std::generic_category(), path == "-" ? "standard input" : path);
  struct stat status{};
  if (fstat(file_.get(), &status) != 0) throw std::system_error(errno, std::generic_category(), path);
  const bool always_ready = S_ISREG(status.st_mode) || (S_ISCHR(status.st_mode) && isatty(file_.get()) == 0);
  if (!always_ready) stream_ = brood::reader(std::move(file_));
}

brood::task<std::string> list::read_some() {
  if (stream_) co_return co_await stream_.read();
  std::string bytes(64 * 1024, '\0');
  const ssize_t count = read(file_.get(), bytes.data(), bytes.size());
  if (count < 0) throw std::system_error(errno, std::generic_category(), "read");
  bytes.resize(static_cast<std::size_t>(count));
  co_return bytes;
}

brood::task<std::optional<std::string>> list::next() {
  for (;;) {
    if (const auto end = unread_.find(separator_, begin_); end != std::string::npos) {
      std::string line = unread_.substr(begin_, end - begin_);
      begin_ = end + 1;
      co_return line;
    }
    unread_.erase(0, std::exchange(begin_, 0));
    if (ended_) {
      if (unread_.empty()) co_return std::nullopt;
      co_return std::exchange(unread_, std::string());
    }
    const std::string more = co_await read_some();
    ended_ = more.empty();
    unread_ += more;
  }
}

}  // namespace many
