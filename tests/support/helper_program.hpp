// A program of tests/process/programs, started by plain fork and exec: for tests of a whole program's life and death.
#pragma once

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "brood/system/unique_fd.hpp"

/// A running program, whose standard output and error can be read together.
/// Lifetime: one that was not waited for is killed and reaped.
class helper_program {
 public:
  explicit helper_program(const std::string& name, const std::vector<std::string>& arguments = {}) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
    output_ = brood::unique_fd(ends[0]);
    const brood::unique_fd output_of_program(ends[1]);
    std::vector<std::string> words{path_of(name)};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (auto& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(output_of_program.get(), 1);
      dup2(output_of_program.get(), 2);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
  }
  ~helper_program() {
    if (pid_ > 0) {
      kill(SIGKILL);
      wait();
    }
  }
  helper_program(const helper_program&) = delete;
  helper_program& operator=(const helper_program&) = delete;

  /// Helper programs lie beside this one, as the build system put them.
  static std::string path_of(const std::string& name) {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "process" / "programs" / name;
  }

  pid_t pid() const noexcept { return pid_; }
  void kill(int signal) const noexcept { ::kill(pid_, signal); }

  /// The next line it writes; nothing once nobody can write any more.
  std::optional<std::string> read_line() {
    for (;;) {
      if (const auto newline = buffer_.find('\n'); newline != std::string::npos) {
        std::string line = buffer_.substr(0, newline);
        buffer_.erase(0, newline + 1);
        return line;
      }
      if (!read_more()) return std::nullopt;
    }
  }
  /// Everything to the end of its output, which the last process that holds it makes.
  std::string read_all() {
    while (read_more()) {
    }
    return std::exchange(buffer_, std::string());
  }

  /// Waits for its end; its exit code, or -N if signal N ended it.
  int wait() noexcept {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  bool read_more() {
    char bytes[4096];
    ssize_t count;
    do {
      count = read(output_.get(), bytes, sizeof bytes);
    } while (count < 0 && errno == EINTR);
    if (count > 0) buffer_.append(bytes, static_cast<std::size_t>(count));
    return count > 0;
  }

  pid_t pid_ = 0;
  brood::unique_fd output_;
  std::string buffer_;
};

/// What a program wrote until the last process that held its output ended, and its exit code.
struct helper_result {
  int code = 0;
  std::string output;
};
inline helper_result run_helper(const std::string& name, const std::vector<std::string>& arguments = {}) {
  helper_program program(name, arguments);
  std::string output = program.read_all();
  return {program.wait(), std::move(output)};
}
