#include "runtime/trace_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>
#include <stdexcept>
#include <utility>

#include "runtime/escape.hpp"
#include "runtime/log.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::detail {

std::atomic<trace_sink*> tracing = nullptr;

namespace {

constexpr std::size_t buffer_size = 16 * 1024;

// Not through a link, not waiting for the other end of a FIFO.
constexpr int safely = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

double microseconds(clock::time_point when) {
  return std::chrono::duration<double, std::micro>(when.time_since_epoch()).count();
}

bool is(const trace_target& target, int fd) noexcept {
  struct stat found{};
  return sys::fstat(fd, &found) == 0 && found.st_dev == target.device && found.st_ino == target.inode;
}

std::string cannot_write(std::string_view path) {
  return fmt::format("brood: cannot write the trace {}", path);
}

/// Makes the file or empties it, and fills in which one it is.
unique_fd open_trace(trace_target& target) {
  unique_fd fd(sys::open(target.path.c_str(), O_RDWR | O_CREAT | O_APPEND | safely, 0666));
  struct stat status{};
  if (!fd || sys::fstat(fd.get(), &status) != 0) sys::throw_errno(cannot_write(target.path));
  if (!S_ISREG(status.st_mode))
    sys::throw_errno(cannot_write(target.path) + ", which is no plain file", EINVAL);
  if (sys::ftruncate(fd.get(), 0) != 0) sys::throw_errno(cannot_write(target.path));
  target.device = status.st_dev;
  target.inode = status.st_ino;
  return fd;
}

/// A file that is removed unless it gets its name.
class unfinished_file {
 public:
  explicit unfinished_file(std::string path) : path_(std::move(path)) {
    std::uint64_t number = 0;
    if (sys::getrandom(&number, sizeof number) != sizeof number) sys::throw_errno("getrandom");
    name_ = fmt::format("{}.{:016x}", path_, number);
    fd_ = unique_fd(sys::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | safely, 0666));
    if (!fd_) sys::throw_errno(cannot_write(name_));
  }
  ~unfinished_file() {
    if (!name_.empty()) sys::unlink(name_.c_str());
  }
  unfinished_file(const unfinished_file&) = delete;
  unfinished_file& operator=(const unfinished_file&) = delete;

  void write(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= buffer_size) write_buffer();
  }
  void name() {
    write_buffer();
    std::filesystem::rename(name_, path_);
    name_.clear();
  }

 private:
  void write_buffer() {
    std::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t count = sys::write(fd_.get(), rest.data(), rest.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) sys::throw_errno(cannot_write(name_));
      rest.remove_prefix(static_cast<std::size_t>(count));
    }
    buffer_.clear();
  }

  std::string path_;
  std::string name_;
  unique_fd fd_;
  std::string buffer_;
};

/// Calls `use` with each line of the file that ends with a newline.
template <class Use>
void for_each_line(int fd, Use use) {
  lseek(fd, 0, SEEK_SET);
  std::string text;
  for (;;) {
    const std::size_t kept = text.size();
    text.resize(kept + buffer_size);
    const ssize_t count = sys::read(fd, text.data() + kept, buffer_size);
    const int error = errno;
    text.resize(kept + static_cast<std::size_t>(count > 0 ? count : 0));
    if (count < 0 && error == EINTR) continue;
    if (count < 0) sys::throw_errno("brood: cannot read the trace", error);
    if (count == 0) return;
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n', kept); end != std::string::npos; end = text.find('\n', begin)) {
      use(std::string_view(text).substr(begin, end - begin));
      begin = end + 1;
    }
    text.erase(0, begin);
  }
}

/// Puts an array of the whole events of `fd` in the place of `path`.
void finish(int fd, const std::string& path) {
  unfinished_file out(path);
  out.write("[\n");
  std::string_view separator;
  for_each_line(fd, [&](std::string_view line) {
    if (!is_whole_event(line)) return;
    line.remove_suffix(1);
    out.write(std::exchange(separator, ",\n"));
    out.write(line);
  });
  out.write("\n]\n");
  out.name();
}

}  // namespace

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

trace_file* trace_file::current() noexcept { return static_cast<trace_file*>(tracing.load()); }

/// Is not destroyed at the end of the program either: other threads may go on.
union lasting_trace_file {
  constexpr lasting_trace_file() : file() {}
  ~lasting_trace_file() {}
  trace_file file;
};
constinit lasting_trace_file lasting;

trace_file& trace_file::of_process() noexcept { return lasting.file; }

void trace_file::begin(const std::filesystem::path& path) {
  trace_file& self = of_process();
  const std::lock_guard locked(self.mutex_);
  if (self.fd_) throw std::logic_error("brood: this process writes a trace already");
  trace_target target{.path = std::filesystem::absolute(path).string()};
  unique_fd fd = open_trace(target);
  self.buffer_ = "[\n";
  self.target_ = std::move(target);
  self.fd_ = std::move(fd);
  self.writer_ = getpid();
  self.began_here_ = true;
  tracing = &self;
}

void trace_file::join(const trace_target& target) noexcept {
  try {
    unique_fd fd(sys::open(target.path.c_str(), O_WRONLY | O_APPEND | safely));
    if (!fd || !is(target, fd.get())) return;  // the trace has ended, or cannot be reached from here
    trace_file& self = of_process();
    const std::lock_guard locked(self.mutex_);
    self.target_ = target;
    self.fd_ = std::move(fd);
    self.writer_ = getpid();
    self.began_here_ = false;
    tracing = &self;
  } catch (const std::bad_alloc&) {
  }
}

void trace_file::flush() noexcept {
  trace_file* self = current();
  if (self == nullptr) return;
  const std::lock_guard locked(self->mutex_);
  self->append_buffer();
}

void trace_file::end() {
  trace_file* self = current();
  if (self == nullptr) return;
  const std::lock_guard locked(self->mutex_);
  self->append_buffer();
  if (!std::exchange(self->began_here_, false)) return;
  tracing = nullptr;
  const unique_fd written = std::move(self->fd_);
  finish(written.get(), self->target_.path);
}

void trace_file::abandon() noexcept {
  tracing = nullptr;
  trace_file& self = of_process();
  self.fd_.reset();
  // Another thread of the process that was cloned may have been writing: what it has left here is not usable.
  new (&self.mutex_) std::mutex;
  new (&self.buffer_) std::string;
}

trace_target trace_file::target() const {
  const std::lock_guard locked(mutex_);
  return target_;
}

void trace_file::append_buffer() noexcept {
  if (fd_ && writer_ == getpid() && !buffer_.empty() &&
      sys::write(fd_.get(), buffer_.data(), buffer_.size()) < 0) {
    log_error("cannot write the trace {}: errno {}", target_.path, errno);
  }
  buffer_.clear();
}

void trace_file::add(std::string line) noexcept {
  const std::lock_guard locked(mutex_);
  if (!fd_) return;  // the loop of another thread has ended it
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
