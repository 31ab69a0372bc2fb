#include "runtime/trace_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <stdexcept>

#include "runtime/log.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::detail {

trace_sink* tracing = nullptr;

namespace {

constexpr std::size_t buffer_size = 16 * 1024;

// What `tracing` points to.
std::unique_ptr<trace_file> file_of_process;

double microseconds(clock::time_point when) {
  return std::chrono::duration<double, std::micro>(when.time_since_epoch()).count();
}

bool is(const trace_target& target, int fd) noexcept {
  struct stat found{};
  return sys::fstat(fd, &found) == 0 && found.st_dev == target.device && found.st_ino == target.inode;
}

/// Bytes of the UTF-8 character that `text` begins with; 0 if it is none. RFC 3629.
std::size_t character_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(i < text.size() ? text[i] : 0); };
  const auto goes_on = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return goes_on(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    const bool legal = !(first == 0xe0 && byte(1) < 0xa0) && !(first == 0xed && byte(1) >= 0xa0);
    return legal && goes_on(1) && goes_on(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5) {
    const bool legal = !(first == 0xf0 && byte(1) < 0x90) && !(first == 0xf4 && byte(1) >= 0x90);
    return legal && goes_on(1) && goes_on(2) && goes_on(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::string json_escaped(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    const char c = text.front();
    if (length == 0) {
      result += "\xef\xbf\xbd";
    } else if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return result;
}

bool is_whole_event(std::string_view line) noexcept {
  if (line.size() < 3 || line.front() != '{' || !line.ends_with("},")) return false;
  line.remove_suffix(1);
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && c == '{') {
      ++depth;
    } else if (!in_string && c == '}' && --depth == 0) {
      return i + 1 == line.size();
    }
  }
  return false;
}

trace_file* trace_file::current() noexcept { return file_of_process.get(); }

void trace_file::begin(const std::filesystem::path& path) {
  if (file_of_process) throw std::logic_error("brood: this process writes a trace already");
  auto made = std::make_unique<trace_file>();
  made->target_.path = std::filesystem::absolute(path).string();
  made->fd_ = unique_fd(
      sys::open(made->target_.path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666));
  struct stat status{};
  if (!made->fd_ || sys::fstat(made->fd_.get(), &status) != 0)
    sys::throw_errno(fmt::format("brood: cannot write the trace {}", path.string()));
  made->target_.device = status.st_dev;
  made->target_.inode = status.st_ino;
  made->writer_ = getpid();
  made->began_here_ = true;
  made->buffer_ = "[\n";
  file_of_process = std::move(made);
  tracing = file_of_process.get();
}

void trace_file::join(const trace_target& target) noexcept {
  try {
    unique_fd fd(sys::open(target.path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    if (!fd || !is(target, fd.get())) return;  // the trace has ended, or cannot be reached from here
    file_of_process = std::make_unique<trace_file>();
    file_of_process->target_ = target;
    file_of_process->fd_ = std::move(fd);
    file_of_process->writer_ = getpid();
    tracing = file_of_process.get();
  } catch (const std::bad_alloc&) {
  }
}

void trace_file::flush() noexcept {
  if (file_of_process) file_of_process->append_buffer();
}

void trace_file::end() {
  if (!file_of_process) return;
  file_of_process->append_buffer();
  if (!file_of_process->began_here_) return;
  tracing = nullptr;
  const auto ended = std::move(file_of_process);
  ended->finish();
}

void trace_file::abandon() noexcept {
  tracing = nullptr;
  file_of_process
      .reset();  // closes this process's descriptor; the buffer is written by `append_buffer` alone
}

void trace_file::append_buffer() noexcept {
  if (writer_ == getpid() && !buffer_.empty() && sys::write(fd_.get(), buffer_.data(), buffer_.size()) < 0) {
    log_error("cannot write the trace {}: errno {}", target_.path, errno);
  }
  buffer_.clear();
}

void trace_file::finish() {
  const std::string finished = target_.path + ".finished";
  {
    std::ifstream lines(target_.path);
    std::ofstream out(finished);
    out << "[\n";
    std::string line;
    const char* separator = "";
    while (std::getline(lines, line)) {
      if (!is_whole_event(line)) continue;
      line.pop_back();
      out << std::exchange(separator, ",\n") << line;
    }
    out << "\n]\n";
    if (!out.flush()) sys::throw_errno(fmt::format("brood: cannot write the trace {}", finished), EIO);
  }
  std::filesystem::rename(finished, target_.path);
}

void trace_file::add(std::string line) noexcept {
  try {
    // A line of its own, whatever was torn off before it.
    if (buffer_.empty()) buffer_ = '\n';
    buffer_ += line;
    buffer_ += '\n';
  } catch (const std::bad_alloc&) {
  }
  if (buffer_.size() >= buffer_size) append_buffer();
}

void trace_file::span(const char* category, std::string_view name, const void* of, clock::time_point begin,
                      clock::time_point end, std::uint64_t object) noexcept {
  try {
    std::string common = fmt::format(R"("name":"{}","cat":"{}","id2":{{"local":"{}"}},"pid":{},"tid":{})",
                                     json_escaped(name), category, fmt::ptr(of), getpid(), getpid());
    if (object != 0) common += fmt::format(R"(,"args":{{"object":{}}})", object);
    add(fmt::format(R"({{"ph":"b","ts":{:.3f},{}}},)", microseconds(begin), common));
    add(fmt::format(R"({{"ph":"e","ts":{:.3f},{}}},)", microseconds(end), common));
  } catch (const std::bad_alloc&) {
  }
}

void trace_file::stretch(pid_t pid, std::string_view name, clock::time_point begin, clock::time_point end,
                         std::string_view arguments, const char* category) noexcept {
  try {
    add(fmt::format(
        R"({{"ph":"X","ts":{:.3f},"dur":{:.3f},"name":"{}","cat":"{}","pid":{},"tid":{},"args":{{{}}}}},)",
        microseconds(begin), microseconds(end) - microseconds(begin), json_escaped(name), category, pid, pid,
        arguments));
  } catch (const std::bad_alloc&) {
  }
}

void trace_file::name_process(pid_t pid, std::string_view name) noexcept {
  try {
    add(fmt::format(R"({{"ph":"M","name":"process_name","pid":{},"args":{{"name":"{}"}}}},)", pid,
                    json_escaped(name)));
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace brood::detail
