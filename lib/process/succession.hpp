// succession: the fork server of now, the one that is to follow it and helps it meanwhile, those that still owe
// something, and those that have died.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "process/death_watch.hpp"
#include "process/family.hpp"
#include "process/outgoing_request.hpp"
#include "system/socket.hpp"
#include "system/standing.hpp"

namespace brood::detail {

/// Keeps a fork server at hand for the one that uses it. Nothing here waits. A server waits for each program until that
/// has reached execve, so where there are processors for both, its heir takes a share of the programs.
///
///   absent --begin--> starting --hello--> serving --its socket ends--> absent
///                         \--its socket ends, its hello says that it cannot serve--> absent
///   serving --its socket ends, and there is an heir--> serving
///   serving --this process is no longer what it was (credentials, ...)--> retired --owes nothing--> dismissed
///
/// Generations: servers of one generation, a server and its heirs, stand where this process stood when they were started,
/// and so do their children. A request is carried out by a server of its generation or not at all.
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
    /// Of this generation or an older one.
    virtual bool has_requests_up_to(std::uint64_t generation) const = 0;

   protected:
    ~user() = default;
  };

  succession(runtime& loop, death_watch& deaths, user& served);
  /// Reaps those that have been killed, which takes no time worth mentioning.
  ~succession();

  /// To be called before each request is made: where this process stands now. If that cannot be given to children of the
  /// server of now, it is retired, and the request is the next generation's. The place, which takes several times as long as
  /// the rest, is read once for all requests that are made
  /// until what was in the ready queue at the first of them has had its turn.
  const sys::standing& note_standing();
  /// Whether a server of the request's generation is there or can be started.
  bool can_serve(const outgoing_request& request) const;
  bool serves(const outgoing_request& request) const;
  /// Sends a request to the server that has less to do, and notes which in it. `gone`: one of them has died;
  /// try again.
  sys::transfer send(outgoing_request& request);
  /// A request has been answered. A relayed child keeps its server.
  void note_reply(const outgoing_request& request, bool relayed);
  /// A relayed child of this server has ended.
  void note_end(pid_t server);
  /// The next message of this server, if it has sent one; `gone` if it is lost or no longer one.
  sys::transfer receive(pid_t server, std::span<std::byte> buffer, sys::received& message);
  /// Whether to tell when there is room again for the last request, where it has been refused.
  void await_room(bool wanted);
  /// Starts a server unless there is one, from a fresh image of the program.
  void begin();
  void hear_hello(pid_t server, std::span<const std::byte> message);
  void accept_heir(pid_t server, pid_t heir, std::vector<unique_fd> fds);
  void on_death(pid_t server);
  /// Kills those that have not answered a request, as nobody will be there to hear them.
  void end_silent_ones() noexcept;

 private:
  /// To one server.
  struct line {
    std::unique_ptr<fd_watch> watch;
    int requests = 0;           // without a reply
    int children = 0;           // relayed, and alive
    bool full = false;          // it has refused the last request
    bool room_awaited = false;  // its watch tells of room
  };
  struct retired_server {
    unique_fd control;
    unique_fd pidfd;
    std::uint64_t generation;
    line to;
  };
  void listen(line& to, int control, pid_t server);
  bool is_heir(pid_t server) const noexcept;
  line* line_to(pid_t server) noexcept;
  void retire();
  void dismiss_idle();
  void lose(pid_t server);
  void lose_server();
  void lose_heir();
  void lose_retired(pid_t server);
  void count_death();
  void promote_heir();
  void ask_for_heir();
  void bury_unknown_heir(std::uint64_t generation);
  void bury_canary();
  void bury(pid_t server, unique_fd pidfd, std::uint64_t heirs_of = 0);
  server_connection& connection() const noexcept { return *family::get().server; }

  runtime& loop_;
  death_watch& deaths_;
  user& user_;
  struct place_note : ready_node {
    bool fresh = false;
  };
  sys::standing_reader standing_reader_;
  sys::standing standing_;
  place_note place_;
  line to_server_;
  line to_heir_;
  const bool share_;  // there is a processor for the heir
  bool serving_ = false;
  int deaths_in_a_row_ = 0;  // without a child in between
  std::map<pid_t, retired_server> retired_;
  std::unordered_map<pid_t, ended_server> dying_;  // killed and not reaped, by pid
};

}  // namespace brood::detail
