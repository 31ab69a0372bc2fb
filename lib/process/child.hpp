// What the parent keeps of one child, from the request to the last handle.
#pragma once

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/shared_object.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "brood/runtime/stream.hpp"
#include "brood/system/unique_fd.hpp"
#include "process/protocol.hpp"
#include "system/memory_file.hpp"

namespace brood::detail {

class child;

/// Kills a child and its tree when its time is over.
class deadline_timer : public timer_node {
 public:
  ~deadline_timer() { stop(); }
  void start(clock::time_point when, child& owner);
  void stop() noexcept;

 private:
  child* owner_ = nullptr;
  executor* loop_ = nullptr;
};

/// State machine (loop thread):
///   requested --reply--> launched --pidfd readable, reaped--> ended
///   requested --reply with an error, or the child could not be set up--> ended, `failure` says why
class child {
 public:
  std::uint64_t id = 0;
  std::uint32_t slot = 0;
  process_id in_memory;  // its place in the family's memory
  launch_kind kind = launch_kind::function;
  std::string name;
  bool daemon = false;
  bool detached = false;
  bool confirm = false;    // launched only when its own `ready` has come
  pid_t server = 0;        // that made it
  bool relayed = false;    // the fork server's child: it tells how this one ended
  bool orphaned = false;   // was relayed, and the fork server has died
  bool unwanted = false;   // whoever launched it has been cancelled
  bool signalled = false;  // its owner sent it a signal that ends it
  std::optional<std::chrono::nanoseconds> time_limit;

  clock::time_point requested_at = clock::now();
  clock::time_point launched_at{};

  pid_t pid = 0;
  unique_fd pidfd;             // until it is reaped
  std::exception_ptr failure;  // why it could not be launched
  std::optional<exit_status> status;
  deadline_timer deadline;
  bool deadline_passed = false;

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
  /// 0, or the errno of a refusal. Nothing happens if it has ended.
  int send_signal(int number) noexcept;
  int kill_tree() noexcept;
  /// Throws what its report or its status says went wrong.
  void throw_if_failed() const;
};

}  // namespace brood::detail
