// succession: the fork server of now, the one that is to follow it and helps it meanwhile, and those that
// have died.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "process/death_watch.hpp"
#include "process/family.hpp"
#include "process/outgoing_request.hpp"
#include "system/socket.hpp"

namespace brood::detail {

/// Keeps a fork server at hand for the one that uses it. Nothing here waits. A server waits for each program until that
/// has reached execve, so where there are processors for both, its heir takes a share of the programs.
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
    virtual void on_server_ready(pid_t server) = 0;
    /// It is dead: what it has made is to be taken over, what it has not made to be asked for again.
    virtual void on_server_death(pid_t server) = 0;
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
  /// Sends a request to the server that has less to do, and notes which in it. `gone`: one of them has died;
  /// try again.
  sys::transfer send(outgoing_request& request);
  /// A request has been answered.
  void note_reply(const outgoing_request& request);
  /// The next message of this server, if it has sent one; `gone` if it is lost or no longer one.
  sys::transfer receive(pid_t server, std::span<std::byte> buffer, sys::received& message);
  /// Whether to tell when there is room for requests again.
  void await_room(bool wanted);
  /// Starts a server unless there is one, from a fresh image of the program.
  void begin();
  void hear_hello(std::span<const std::byte> message);
  void accept_heir(pid_t pid, std::vector<unique_fd> fds);
  void on_death(pid_t server);

 private:
  /// To one server.
  struct line {
    std::unique_ptr<fd_watch> watch;
    int requests = 0;  // without a reply
  };
  void listen(line& to, int control, pid_t server);
  bool is_heir(pid_t server) const noexcept;
  void lose(pid_t server);
  void lose_server();
  void lose_heir();
  void count_death();
  void promote_heir();
  void ask_for_heir();
  void bury_unknown_heir();
  void bury_canary();
  void bury(pid_t server, unique_fd pidfd);
  server_connection& connection() const noexcept { return *family::get().server; }

  runtime& loop_;
  death_watch& deaths_;
  user& user_;
  line to_server_;
  line to_heir_;
  const bool share_;  // there is a processor for the heir
  bool serving_ = false;
  bool room_awaited_ = false;
  int deaths_in_a_row_ = 0;                 // without a child in between
  bool heir_asked_for_ = false;             // of the server of now
  std::optional<std::uint32_t> heir_slot_;  // where the kernel writes the heir's pid
  std::unordered_map<pid_t, unique_fd>
      dying_;  // by pid: pidfds of those killed and not reaped; empty if none could be had
};

}  // namespace brood::detail
