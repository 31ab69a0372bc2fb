// engine: a redis-server of the test's own, on a Unix socket in a temporary folder. Nothing of it is left behind.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "brood/channel/address.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"
#include "catch.hpp"
#include "leftovers.hpp"

namespace brood::test {

class engine {
 public:
  explicit engine(std::vector<std::string> options = {"--appendonly", "no", "--save", ""})
      : options_(std::move(options)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "brood-engine-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = pattern;
    start();
  }
  ~engine() {
    kill();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  std::string socket() const { return folder_ / "socket"; }
  brood::address address() const { return "unix:" + socket(); }
  pid_t pid() const noexcept { return pid_; }

  /// As `kill -9`.
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    output_.reset();
  }
  void pause() const { ::kill(pid_, SIGSTOP); }
  void go_on() const { ::kill(pid_, SIGCONT); }

  /// Returns when it accepts connections.
  void start() {
    std::filesystem::remove(socket());
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    output_ = unique_fd(ends[0]);
    const unique_fd theirs(ends[1]);
    std::vector<std::string> words{"redis-server",
                                   "--port",
                                   "0",
                                   "--unixsocket",
                                   socket(),
                                   "--dir",
                                   folder_.string(),
                                   "--daemonize",
                                   "no",
                                   "--logfile",
                                   "",
                                   "--enable-debug-command",
                                   "yes"};
    words.insert(words.end(), options_.begin(), options_.end());
    std::vector<char*> pointers;
    for (auto& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(theirs.get(), 1);
      dup2(theirs.get(), 2);
      execvp(pointers[0], pointers.data());
      _exit(127);
    }
    std::string said;
    while (said.find("ready to accept connections at") == std::string::npos &&
           said.find("Ready to accept connections unix") == std::string::npos) {
      char bytes[4096];
      const ssize_t count = read(output_.get(), bytes, sizeof bytes);
      if (count > 0) said.append(bytes, static_cast<std::size_t>(count));
      if (count == 0)
        throw std::runtime_error("redis-server (Debian's package of that name) did not start:\n" + said);
    }
    fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  }

  /// What redis-cli prints for a command.
  std::string ask(const std::string& command) const {
    const std::string line = "redis-cli -s '" + socket() + "' " + command;
    FILE* out = popen(line.c_str(), "re");
    if (out == nullptr) throw std::runtime_error("popen");
    std::string result;
    char bytes[4096];
    while (const std::size_t count = fread(bytes, 1, sizeof bytes, out)) result.append(bytes, count);
    pclose(out);
    while (!result.empty() && result.back() == '\n') result.pop_back();
    return result;
  }

  /// How many requests it has had, those that its own functions make aside.
  long requests() const {
    const std::string said = ask("info commandstats");
    long sum = 0;
    for (const std::string name : {"cmdstat_fcall:calls=", "cmdstat_xread:calls=", "cmdstat_xtrim:calls="}) {
      const std::size_t at = said.find(name);
      if (at != std::string::npos) sum += std::atol(said.c_str() + at + name.size());
    }
    return sum;
  }

  /// The keys that stay until somebody removes them; the answers to a lost session's requests go by themselves.
  std::string lasting_keys() const {
    return ask(
        "--raw eval \"local r = {} for _, k in ipairs(redis.call('keys', '*')) do if redis.call('ttl', k) < "
        "0 then "
        "r[#r + 1] = k end end return r\" 0");
  }

 private:
  std::vector<std::string> options_;
  std::filesystem::path folder_;
  pid_t pid_ = 0;
  unique_fd output_;
};

/// As `run_clean`, for bodies that restart the engine.
template <class Body>
void run_clean_beside(const engine& server, Body body) {
  const auto without_engine = [&] {
    ::leftovers result = ::leftovers::now();
    std::erase(result.children, server.pid());
    return result;
  };
  const ::leftovers before = without_engine();
  {
    runtime loop;
    loop.run_until_complete(body());
  }
  CHECK(without_engine() == before);
}

}  // namespace brood::test
