// The parent's side: asks the fork server for children, hears their reports, reaps them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "brood/process/launch.hpp"
#include "brood/process/process.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "process/child.hpp"
#include "process/family.hpp"

namespace brood::detail {

/// What is to be launched, beside how.
struct launch_target {
  launch_kind kind = launch_kind::function;
  function_token function;
  bytes arguments;
  std::vector<held_reference> objects;
  std::vector<std::string> command;
};

/// A service of the runtime that spawns; at most one in a process at a time. Every step that depends on the number of
/// children costs the same however many there are.
class supervisor final : public runtime_service {
 public:
  explicit supervisor(runtime& loop);
  ~supervisor() override;
  static supervisor& current();
  static void abandon_after_fork() noexcept;

  /// Launches a child. Cancellation: a child that was made all the same is killed, and its end awaited.
  task<std::shared_ptr<child>> launch(launch_plan plan, launch_target target);

  /// Ends daemons, and with `all` the others too (SIGTERM, a grace period, SIGKILL); waits for every child but the
  /// detached ones.
  task<> end_children(bool all);
  task<> shut_down() override { return end_children(false); }

  /// Those that have been made and have not ended, oldest first.
  std::vector<std::shared_ptr<child>> children() const;
  static process_handle handle_of(std::shared_ptr<child> child) { return process_handle(std::move(child)); }

 private:
  struct outgoing {
    std::shared_ptr<child> target;
    std::vector<std::byte> message;
    std::vector<int> fds;          // to pass, in this order
    std::vector<unique_fd> owned;  // those of them to be closed afterwards
    void pass(unique_fd fd) {
      fds.push_back(fd.get());
      owned.push_back(std::move(fd));
    }
  };

  std::shared_ptr<child> make_child(const launch_plan& plan, const launch_target& target);
  outgoing make_request(const std::shared_ptr<child>& child, launch_plan plan, launch_target target);
  void make_streams(child& child, const launch_plan& plan, launch_request& request, launch_details& details,
                    outgoing& out);
  std::uint32_t take_slot();
  void withdraw(child& child);

  void flush();
  void read_replies();
  void hear_hello(std::span<const std::byte> message);
  void handle_reply(launch_reply reply, unique_fd pidfd);  // a copy: reports are read into the same buffer
  void launched(child& child, pid_t pid, unique_fd pidfd);
  void fail_launch(child& child, std::exception_ptr failure);

  void read_reports(int most);
  void receive_large_report(child& child, const std::vector<unique_fd>& fds);
  void handle_report(std::span<const std::byte> message, std::vector<unique_fd> fds);

  void hold_objects(child& child, std::size_t count);
  void end_in_memory(std::uint32_t slot);
  void bury_orphans();

  void reap_some();
  void finish(child& child, const sys::ending& ending);
  void forget(child& child);

  void watch_server();
  void server_lost();
  void start_server_again();
  void recover_in_flight();
  void take_over_relayed();
  void watch_for_death(const unique_fd& pidfd_of_server);
  void reap_dead_servers();
  void ask_for_heir();
  void accept_heir(pid_t pid, std::vector<unique_fd> fds);
  void bury_unknown_heir();
  void promote_heir();
  void fail_queue(const std::exception_ptr& failure);

  server_connection& connection() const noexcept { return *family::get().server; }

  runtime& loop_;
  std::unordered_map<std::uint64_t, std::shared_ptr<child>> children_;
  std::vector<std::uint32_t> free_slots_;
  std::uint32_t slots_used_ = 0;

  std::deque<outgoing> queue_;                           // not sent yet
  std::unordered_map<std::uint64_t, outgoing> in_flight_;  // sent, without a reply
  bool serving_ = true;                                  // false between a server's death and the next one's hello
  int deaths_in_a_row_ = 0;                              // without a child in between
  std::vector<unique_fd> dead_servers_;                  // pidfds, to be reaped
  std::optional<std::uint32_t> heir_slot_;               // where the kernel writes the heir's pid

  struct watched_orphan {
    std::uint32_t slot;
    unique_fd pidfd;
  };
  std::vector<watched_orphan> orphans_;  // children of dead children, dying themselves

  unique_fd pidfds_;  // an epoll set of every child's pidfd
  std::optional<fd_watch> control_watch_;
  std::optional<fd_watch> results_watch_;
  std::optional<fd_watch> pidfds_watch_;
  std::vector<std::byte> reply_buffer_;
  std::vector<std::byte> report_buffer_;  // another one, as a reply may have to wait for reports
};

/// Ends one child: SIGTERM, a grace period, SIGKILL to its tree; waits for its end. Cannot be cancelled.
task<> end_child(std::shared_ptr<child> child);

}  // namespace brood::detail
