// hosts: this program once more, started as a host of the cluster.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "brood/cluster/pool.hpp"
#include "engine.hpp"

namespace brood::test {

inline const std::string key_text = "a key of thirty-two random bytes.";

class test_host {
 public:
  explicit test_host(const engine& server, std::vector<std::string> more = {},
                     const std::string& key = key_text, const std::string& program = "/proc/self/exe") {
    const std::string file = server.socket() + ".key" + std::to_string(++made_);
    std::ofstream(file) << key;
    chmod(file.c_str(), 0600);
    std::vector<std::string> words{program,
                                   "--brood-join",
                                   server.address().text(),
                                   "--brood-key",
                                   file,
                                   "--brood-lease",
                                   "1000",
                                   "--brood-workers",
                                   "2"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> pointers;
    for (auto& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
  }
  test_host(test_host&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  test_host& operator=(test_host&&) = delete;
  ~test_host() {
    if (pid_ == 0) return;
    send(SIGKILL);
    send(SIGCONT);
    wait();
  }

  void send(int signal) const { ::kill(pid_, signal); }
  /// Whether the host has a handler for the signal by now; before its execve it has those of the test.
  bool heeds(int signal) const {
    std::ifstream words("/proc/" + std::to_string(pid_) + "/cmdline");
    const std::string all((std::istreambuf_iterator<char>(words)), {});
    if (all.find("--brood-join") == std::string::npos) return false;
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("SigCgt:"))
        return (std::stoull(line.substr(7), nullptr, 16) >> (signal - 1) & 1) != 0;
    }
    return false;
  }
  /// Its exit code, or minus the signal.
  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  static inline int made_ = 0;
  pid_t pid_ = 0;
};

}  // namespace brood::test
