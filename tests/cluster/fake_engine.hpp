// fake_engine: a listening socket, and a script of what each connection gets for each request.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>

#include "brood/runtime/fd_watch.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::test {

/// Gives each request what `reply` makes of it: bytes, and whether the connection is to be cut after them.
class fake_engine {
 public:
  struct reply {
    std::string bytes;
    bool cut = false;
  };
  using script = std::function<reply(const std::string& request)>;

  fake_engine(runtime& loop, script what) : loop_(loop), script_(std::move(what)) {
    char pattern[] = "/tmp/brood-fake-XXXXXX";
    if (mkdtemp(pattern) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = pattern;
    listener_ = unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, socket().c_str(), sizeof name.sun_path - 1);
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 ||
        listen(listener_.get(), 16) != 0) {
      throw std::runtime_error("listen");
    }
    watch_.emplace(loop, listener_.get(), [this](int) { accept_one(); });
    watch_->background();
    watch_->watch(fd_watch::readable);
  }
  ~fake_engine() { std::filesystem::remove_all(folder_); }
  fake_engine(const fake_engine&) = delete;
  fake_engine& operator=(const fake_engine&) = delete;

  std::string socket() const { return folder_ + "/socket"; }
  int connections() const noexcept { return accepted_; }

 private:
  struct peer {
    unique_fd fd;
    std::string got;
    std::optional<fd_watch> watch;
  };

  void accept_one() {
    auto made = std::make_shared<peer>();
    made->fd = unique_fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!made->fd) return;
    ++accepted_;
    const int fd = made->fd.get();
    peers_[fd] = made;
    made->watch.emplace(loop_, fd, [this, fd](int) { serve(fd); });
    made->watch->background();
    made->watch->watch(fd_watch::readable);
  }

  void serve(int fd) {
    const auto who = peers_.at(fd);
    char bytes[4096];
    const ssize_t count = recv(fd, bytes, sizeof bytes, 0);
    if (count <= 0) {
      peers_.erase(fd);
      return;
    }
    who->got.append(bytes, static_cast<std::size_t>(count));
    // A request of one word: *1\r\n$N\r\nWORD\r\n
    for (std::size_t end; (end = whole_request(who->got)) != 0;) {
      const reply answer = script_(who->got.substr(0, end));
      who->got.erase(0, end);
      if (!answer.bytes.empty()) send(fd, answer.bytes.data(), answer.bytes.size(), MSG_NOSIGNAL);
      if (answer.cut) {
        peers_.erase(fd);
        return;
      }
    }
  }
  static std::size_t whole_request(const std::string& from) {
    std::size_t at = from.find("\r\n");
    if (at == std::string::npos) return 0;
    at += 2;
    for (int words = std::stoi(from.substr(1)); words > 0; --words) {
      const std::size_t line = from.find("\r\n", at);
      if (line == std::string::npos) return 0;
      at = line + 2 + std::stoul(from.substr(at + 1)) + 2;
      if (at > from.size()) return 0;
    }
    return at;
  }

  runtime& loop_;
  script script_;
  std::string folder_;
  unique_fd listener_;
  std::optional<fd_watch> watch_;
  std::map<int, std::shared_ptr<peer>> peers_;
  int accepted_ = 0;
};

}  // namespace brood::test
