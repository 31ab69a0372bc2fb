// The parent's side: asks the fork server for children, hears their reports, reaps them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "brood/arena/arena.hpp"
#include "brood/arena/family_memory.hpp"
#include "brood/process/launch.hpp"
#include "brood/process/process.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "process/cause.hpp"
#include "process/child.hpp"
#include "process/death_watch.hpp"
#include "process/family.hpp"
#include "process/orphan_watch.hpp"
#include "process/outgoing_request.hpp"
#include "process/succession.hpp"
#include "runtime/retry_timer.hpp"

namespace brood::detail {

/// A service of the runtime that spawns; at most one in a process at a time. Every step that depends on the number of
/// children costs the same however many there are.
class supervisor final : public runtime_service, private succession::user {
 public:
  explicit supervisor(runtime& loop);
  ~supervisor() override;
  static supervisor& current();
  static void abandon_after_fork() noexcept;
  /// For `runtime::snapshot`.
  static void count_children(runtime& loop, snapshot& counted);

  /// Launches a child. Cancellation: a child that was made all the same is killed, and its end awaited.
  task<std::shared_ptr<child>> launch(launch_plan plan, launch_target target);

  /// Ends daemons, and with `all` the others too, as `end_child` does; waits for every child but the detached ones.
  task<> end_children(bool all);
  /// All of them if this process is a child that was asked to stop.
  task<> shut_down() override;
  /// This process is asked to stop: if it does nothing but wait for its children, they are asked too.
  void stop_joining() noexcept;

  /// Those that have been made and have not ended, oldest first.
  std::vector<std::shared_ptr<child>> children() const;
  static process_handle handle_of(std::shared_ptr<child> child) { return process_handle(std::move(child)); }

 private:
  std::shared_ptr<child> make_child(const launch_plan& plan, const launch_target& target);
  outgoing_request make_request(const std::shared_ptr<child>& child, launch_plan plan, launch_target target,
                                const sys::standing& now);
  void take_places(child& child);
  void give_back_places(const child& child);
  void withdraw(child& child);

  /// Sends what there is room for. True: nothing tells when there is room again, so it is to be called again.
  [[nodiscard]] bool flush();
  sys::transfer send_first_unsent();
  void fail_first_unsent(const std::exception_ptr& why);
  void end_unanswered() noexcept;
  void leave(pid_t pid, const child& child) noexcept;
  void read_replies(pid_t server);
  void hear(pid_t server, std::span<const std::byte> message, std::vector<unique_fd> fds);
  void handle_reply(launch_reply reply, unique_fd pidfd);  // a copy: reports are read into the same buffer
  void launched(child& child, pid_t pid, unique_fd pidfd);
  void launched_without_descriptor(child& child);
  void note_start(child& child);
  void fail_launch(child& child, std::exception_ptr failure);

  void read_reports(int most);
  void receive_large_report(child& child, const std::vector<unique_fd>& fds);
  void handle_report(std::span<const std::byte> message, std::vector<unique_fd> fds);

  void hold_objects(child& child, std::size_t count);

  void on_deaths(std::span<const mortal> dead);
  void reap(std::uint64_t id);
  void finish(child& child, const sys::ending& ending);
  void explain(child& child);
  void note_leftovers(child& child, unique_fd pidfd) noexcept;
  void kill_leftovers() noexcept;
  void forget(child& child);
  void tell_of_start(const child& child) noexcept;
  void tell_of_end(const child& child) noexcept;

  void on_server_ready(pid_t server) override;
  void on_server_death(pid_t server) override;
  void on_no_server(const std::exception_ptr& why) override;
  bool has_requests() const override {
    return !unsent_.empty() && unsent_.rbegin()->second.generation == connection_.generation;
  }
  bool has_requests_up_to(std::uint64_t generation) const override {
    return !unsent_.empty() && unsent_.begin()->second.generation <= generation;
  }
  std::uint32_t take_slot();
  void recover_in_flight(pid_t server);
  void take_over_relayed(pid_t server);

  server_connection& connection_;
  std::unordered_map<std::uint64_t, std::shared_ptr<child>> children_;
  std::vector<std::shared_ptr<child>> left_;  // that have left something running, which is killed in the end
  std::vector<std::uint32_t> free_slots_;
  std::uint32_t slots_used_ = 0;

  // By the child's id, which is the order of the requests.
  std::map<std::uint64_t, outgoing_request> unsent_;
  std::map<std::uint64_t, outgoing_request> in_flight_;  // sent, without a reply

  std::vector<std::byte> reply_buffer_;
  std::vector<std::byte> report_buffer_;  // another one, as a reply may have to wait for reports
  death_watch deaths_;
  fd_watch results_watch_;
  retry_timer retry_;  // sends again what too many descriptors under way kept from being sent
  succession servers_;
  orphan_watch orphans_;
  bool joining_ = false;  // shutting down
  memory_witness memory_;
  bool several_end_ = false;  // more than one child of those that are reaped now
};

inline mortal mortal_of(const child& child) { return {mortal::kind::child, child.id}; }

/// Why a child could not be started.
std::exception_ptr launch_error(const child& child, stage at, int error) noexcept;
/// This process is at its limit of descriptors.
void fail_for_want_of_descriptor(child& child, pid_t pid);

/// Kills a child and its tree. One that may not be signalled (it has become another user's) is given up: whoever waits for it
/// is told, and it is reaped when it ends.
void kill_or_give_up(child& child);

/// For a child that nobody wants any more. A server that is stopped is not waited for: if it makes the child after all,
/// that is killed and reaped then.
task<> await_end_of_unwanted(std::shared_ptr<child> child);

/// Ends one child: asks it to stop, SIGKILL to its tree when its time is over; waits for its end. Cannot be cancelled.
task<> end_child(std::shared_ptr<child> child);

}  // namespace brood::detail
