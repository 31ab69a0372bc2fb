// What this process knows of its family: how the program was started, who the parent is, how children are made.
#pragma once

#include <signal.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brood/process/run.hpp"
#include "brood/system/unique_fd.hpp"
#include "process/protocol.hpp"
#include "process/spawn_table.hpp"
#include "system/standing.hpp"

namespace brood::detail {

/// A fork server that has been told to end and has not been reaped yet.
struct ended_server {
  unique_fd pidfd;             // empty if none could be had
  std::uint64_t heirs_of = 0;  // it may have made an heir of this generation that nobody knows; 0: it has not
};

/// A child of this process that runs on after the runtime that started it, and that nobody has reaped.
struct left_child {
  pid_t pid;
  process_id in_memory;  // none for a program
};

/// The parent's ends of what connects it with its fork server and its children.
struct server_connection {
  unique_fd control;              // non-blocking once a supervisor uses it
  unique_fd results;              // where the children's reports arrive
  unique_fd results_of_children;  // the other end, kept for a new server
  unique_fd table_file;
  spawn_table table;
  ino_t results_file = 0;       // to find out whether somebody has closed all descriptors
  bool siblings = false;        // children are this process's own
  bool heir_asked_for = false;  // of the server of now
  bool by_first_thread =
      true;  // as the server's children notice the end of the thread that started it, prctl(2)
  std::uint64_t generation = 1;  // see succession
  sys::standing standing;        // of this process when the server was started, and so of its children
  pid_t server = 0;
  unique_fd server_pidfd;

  /// A clone of the server that takes its place at once if it dies, with all that `preload` loaded.
  struct standby {
    unique_fd control;
    unique_fd pidfd;
    pid_t pid = 0;
  };
  std::optional<standby> heir;
  std::vector<left_child> left;                          // for the runtime that comes next
  std::vector<std::pair<pid_t, ended_server>> unreaped;  // those that did not end in time
};

/// The call that a child was made for.
struct running_call {
  int results;  // where it is reported
  const launch_request& request;
};

/// The one process-wide object of this library. Filled by `init`, by the start of a child, and by the first spawn of
/// a child; used on one thread at a time.
/// Aligned so that it lies in one page: every child writes to it, and a page is what that costs.
class alignas(1024) family {
 public:
  static family& get() noexcept;

  bool initialized = false;
  options settings;
  std::vector<std::string> command_line;

  /// This process's name, and its parent's; decoded when first asked for, as few children ask.
  const std::string& name();
  const std::string& parent_name();
  std::span<const std::byte> encoded_details;  // of a child that has not asked

  bool is_child = false;
  bool daemon = false;
  std::array<std::byte, 32> authkey{};
  pid_t parent_pid = 0;  // 0 in the first process
  unique_fd parent_pidfd;
  std::vector<std::function<void()>> exit_hooks;
  const running_call* running = nullptr;  // in a child
  const spawn_slot* slot = nullptr;       // of a child: where its parent asks it to stop
  const std::atomic<std::uint64_t>* task =
      nullptr;  // of a pool's worker: says by these bits that its task is to end
  std::uint64_t task_asked = 0;
  std::atomic<bool> signal_came = false;  // that asks this application to stop, see `run`

  // The world as the fork server saw it: what has changed since goes with each launch.
  std::vector<std::string> environment;
  std::string directory;
  sigset_t signal_mask{};
  rlimit descriptor_limit{};   // as the program was started with
  char program_name[16] = {};  // as the kernel shows it; the fork server has a name of its own

  std::unique_ptr<server_connection> server;
  std::uint64_t last_id = 0;
  std::uint64_t last_name = 0;

 private:
  void decode_names();
  std::string name_ = "main";
  std::string parent_name_;
};

static_assert(sizeof(family) == 1024);

/// Throws `std::logic_error` if somebody has closed the descriptors of this process (closefrom(3), close_range(2)).
void require_descriptors(server_connection& connection);
/// Starts this process's fork server if it has none, by cloning this process while it has one thread, else from a
/// fresh image of the program. Waits until it serves: `preload` and a fraction of a millisecond.
void ensure_server(family& self);

/// Starts a server over again, `by_clone` of this process or from a fresh image, without waiting for its hello. If it
/// throws and `connection.server` is not 0, that one has been killed and is to be reaped.
void start_server(server_connection& connection, bool by_clone);
/// Reaps the process with which a server has tried its clones, if there is one. It has ended when the server says hello.
void reap_canary(const server_connection& connection) noexcept;
/// Takes a server's first message; throws if it says that it cannot serve.
void accept_hello(server_connection& connection, std::span<const std::byte> message);

/// Remembers the environment and the working directory that a server gets which is started now.
void note_world(family& self);
/// The environment variables and the working directory that differ from what the fork server has.
void add_changes_since_start(const family& self, launch_options& options);

}  // namespace brood::detail
