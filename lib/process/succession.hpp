// succession: the fork server of now, the one that is to follow it, and those that have died.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "process/death_watch.hpp"
#include "process/family.hpp"

namespace brood::detail {

/// Keeps a fork server at hand for the one that uses it. Nothing here waits.
///
///   absent --begin--> starting --hello--> serving --its socket ends--> absent
///                         \--its socket ends, its hello says that it cannot serve--> absent
///   serving --its socket ends, and there is an heir--> serving
///
/// The user is told of each death before a successor serves, so that it asks for nothing twice.
class succession {
 public:
  class user {
   public:
    /// The server has said something, has died, or has room for requests.
    virtual void on_server_ready() = 0;
    /// It is dead: what it has made is to be taken over, what it has not made to be asked for again.
    virtual void on_server_death() = 0;
    /// No server can be had now; the next request tries again.
    virtual void on_no_server(const std::exception_ptr& why) = 0;
    virtual bool has_requests() const = 0;
    /// A slot of the spawn table for the heir.
    virtual std::uint32_t take_slot() = 0;

   protected:
    ~user() = default;
  };

  succession(runtime& loop, death_watch& deaths, user& served);
  /// Reaps those that have been killed, which takes no time worth mentioning.
  ~succession();

  bool serving() const noexcept { return serving_; }
  /// Which events of the control socket the user wants; nothing without a server.
  void watch(int events);
  /// Starts a server unless there is one, from a fresh image of the program.
  void begin();
  /// Its socket has ended.
  void lose_server();
  void hear_hello(std::span<const std::byte> message);
  void accept_heir(pid_t pid, std::vector<unique_fd> fds);
  /// A server that has made a child is worth another if it dies.
  void note_success() noexcept { deaths_in_a_row_ = 0; }
  void on_death(pid_t server);

 private:
  void listen();
  void promote_heir();
  void ask_for_heir();
  void bury_unknown_heir();
  void bury_canary();
  void bury(pid_t server, unique_fd pidfd);
  server_connection& connection() const noexcept { return *family::get().server; }

  runtime& loop_;
  death_watch& deaths_;
  user& user_;
  std::optional<fd_watch> control_watch_;
  bool serving_ = false;
  int deaths_in_a_row_ = 0;                 // without a child in between
  std::optional<std::uint32_t> heir_slot_;  // where the kernel writes the heir's pid
  std::unordered_map<pid_t, unique_fd>
      dying_;  // by pid: pidfds of those killed and not reaped; empty if none could be had
};

}  // namespace brood::detail
