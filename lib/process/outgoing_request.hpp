// A request to the fork server, until it has been answered.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "brood/process/launch.hpp"
#include "brood/system/unique_fd.hpp"
#include "process/child.hpp"
#include "system/standing.hpp"

namespace brood::detail {

/// What is to be launched, beside how. The objects that the arguments hold are the child's from then on.
struct launch_target {
  launch_kind kind = launch_kind::function;
  function_token function;
  bytes arguments;
  std::vector<held_reference> objects;
  std::vector<std::string> command;
};

/// Kept after it has been sent: if the server dies before it has made the child, the request is sent to the
/// next one.
struct outgoing_request {
  /// Also makes the pipes between `target` and this process. Throws `std::system_error` if the descriptors do
  /// not suffice.
  outgoing_request(std::shared_ptr<child> target, launch_plan plan, launch_target what,
                   const sys::standing& now);

  std::shared_ptr<child> target;
  std::uint64_t generation;  // of the servers that can carry it out, see succession
  pid_t server = 0;          // which one was asked
  std::vector<std::byte> message;
  std::vector<int> fds;          // to pass, in this order
  std::vector<unique_fd> owned;  // those of them to be closed afterwards

 private:
  void pass(unique_fd fd);
  void make_stream(int number, const std::optional<stdio>& wanted, launch_request& request,
                   launch_details& details);
  void make_pipe_to(int number);
  void make_terminal(const terminal_size& size, launch_request& request);
  void put_together(launch_request& request, const bytes& details, const bytes& arguments);
};

/// Whether a child can fail after it has been made and before its function runs.
bool can_fail_in_child(const launch_plan& plan);
/// That the kernel and the C library get every word whole: no zero bytes, a program with a name, variables that setenv(3)
/// takes. Here, as a child would tell too late. Throws `std::system_error` (EINVAL).
void require_valid(const launch_plan& plan, const launch_target& target);

}  // namespace brood::detail
