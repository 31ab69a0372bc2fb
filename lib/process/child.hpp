// What the parent keeps of one child, from the request to the last handle.
#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/shared_object.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/process/launch.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/stream.hpp"
#include "brood/system/unique_fd.hpp"
#include "process/process_tree.hpp"
#include "process/protocol.hpp"
#include "runtime/crash_record.hpp"
#include "system/memory_file.hpp"

namespace brood::detail {

class child;

/// How long a child may take to end when it has been asked to.
constexpr std::chrono::nanoseconds default_stop_limit = std::chrono::seconds(2);

/// Kills a child and its tree when its time is over.
class kill_timer : public timer_node {
 public:
  ~kill_timer() { stop(); }
  /// Sets `reason` when it kills. A second time it starts anew.
  void start(clock::time_point when, child& owner, bool child::* reason);
  void stop() noexcept;

 private:
  child* owner_ = nullptr;
  bool child::* reason_ = nullptr;
  executor* loop_ = nullptr;
};

/// State machine (loop thread):
///   requested --reply--> launched --pidfd readable, reaped--> ended
///   requested --reply with an error, or the child could not be set up--> ended, `failure` says why
/// Asked to stop, in any of them: `asked`, its slot says until when, and its stop signal is sent as soon as there is a
/// process; `stop_timer` kills it if it has not ended then.
class child {
 public:
  std::uint64_t id = 0;
  std::uint32_t slot = 0;
  process_id in_memory;  // its place in the family's memory
  launch_kind kind = launch_kind::function;
  std::string name;
  bool daemon = false;
  bool detached = false;
  bool leads_group = true;  // its process group is its own, and not a pipeline's
  bool confirm = false;     // launched only when its own `ready` has come
  pid_t server = 0;         // that made it
  bool relayed = false;     // the fork server's child: it tells how this one ended
  bool orphaned = false;    // was relayed, and the fork server has died
  bool unwanted = false;    // whoever launched it has been cancelled
  bool signalled = false;   // its owner sent it a signal that ends it
  bool pinned = false;      // once ended it is kept as a zombie, and with it the number of its process group
  std::optional<std::chrono::nanoseconds> time_limit;

  clock::time_point requested_at = clock::now();
  clock::time_point launched_at{};

  pid_t pid = 0;
  unique_fd pidfd;             // until it is reaped
  unique_fd zombie;            // `pinned`, and it has ended
  std::exception_ptr failure;  // why it could not be launched
  std::optional<exit_status> status;
  kill_timer deadline;
  bool deadline_passed = false;

  std::chrono::nanoseconds stop_limit = default_stop_limit;
  int stop_signal = SIGTERM;
  kill_timer stop_timer;
  bool asked = false;    // to stop
  bool overran = false;  // it was killed, as it had not stopped in time
  brood::leftovers left_policy = brood::leftovers::report;
  descendants known;  // when it was asked to end
  unique_fd left;     // of a group that it has left behind: its own pidfd

  std::uint64_t sent = 0;  // signals that were sent to it: bit N for signal N
  std::optional<std::chrono::seconds> cpu_limit;
  bool file_limit = false;
  std::shared_ptr<const crash_record> crash;  // what it left of one
  /// Whether its modules lie where this process's do.
  bool as_here() const noexcept { return kind != launch_kind::exec_function; }

  writer input;
  std::array<reader, 2> outputs;  // standard output, standard error

  std::vector<held_reference> argument_objects;  // until it has its arguments
  std::vector<held_reference> result_objects;

  std::optional<decltype(child_report::kind)> report;
  bytes report_body;
  sys::mapped_file large_report;  // instead of report_body
  std::size_t report_begin = 0;   // behind the names of the objects

  local_event launched;
  local_event ended;

  std::span<const std::byte> reported() const noexcept {
    const std::span<const std::byte> whole =
        large_report.data() != nullptr ? large_report.contents() : std::span<const std::byte>(report_body);
    return whole.subspan(report_begin);
  }
  ~child() { unpin(); }
  /// Reaps it if it has ended, as is done by itself for those that are not `pinned`.
  void unpin() noexcept;
  /// 0, or the errno of a refusal. Nothing happens if it has ended.
  int send_signal(int number) noexcept;
  /// The same to its process group, if that is its own.
  int signal_group(int number) noexcept;
  int kill_tree() noexcept;
  /// Asks it to stop, and if it is a program the rest of its process group, unless it has ended; when `limit` has passed it is
  /// killed with its tree, at once if that is not positive. What it leaves is killed in any case.
  /// A request under way goes on, with the earlier of both times. 0, or the errno of a refusal.
  int ask_to_stop(std::chrono::nanoseconds limit) noexcept;
  /// Kills what it has left in its process group, and those of `known` with all below them. While it has not been reaped, or
  /// by `left`.
  void kill_leftovers() noexcept;
  /// The signal of a request.
  int send_request() noexcept;
  /// Throws what its report or its status says went wrong.
  void throw_if_failed() const;
};

/// See `process_handle::last_words`.
std::string last_words_of(const child& child);

}  // namespace brood::detail
