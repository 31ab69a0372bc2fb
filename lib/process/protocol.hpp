// What a parent, its fork server and its children say to each other, over two socket pairs and one table:
//
//   parent  <-- control socket -->  fork server    launch_request with descriptors / launch_reply with pidfds
//   children  -- results socket -->  parent        child_report, one message each, or a file in memory if large
//   parent, fork server, children: spawn_table     shared memory, a slot for each child; see spawn_table.hpp
//
// All of them are the same program image, so plain structs can travel; texts and options go through the codec.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "brood/arena/detail/shared_object.hpp"
#include "brood/arena/process_id.hpp"
#include "brood/process/detail/function_entry.hpp"
#include "brood/process/detail/launch_plan.hpp"
#include "runtime/trace_file.hpp"
#include "system/pidfd.hpp"
#include "system/standing.hpp"

namespace brood::detail {

/// The step at which a launch failed.
enum class stage : std::int32_t {
  none,
  clone,
  receive_descriptors,
  receive_request,
  session,
  terminal,
  process_group,
  standard_stream,
  descriptor,
  environment,
  chroot,
  chdir,
  setpriority,
  sched_setaffinity,
  sched_setscheduler,
  ioprio_set,
  oom_score_adj,
  setrlimit,
  setgroups,
  setresgid,
  setresuid,
  no_new_privs,
  signals,
  execve,
  decode,
};
const char* name_of(stage s) noexcept;

/// `heir` asks the fork server for a second one, a clone of itself that waits on a control socket of its own; `id` is its
/// generation. `farewell` ends it.
enum class launch_kind : std::uint8_t { function, exec_function, program, heir, farewell };

/// How a standard stream is to be made, in the order of the descriptors 0, 1, 2.
enum class stream_source : std::uint8_t { keep, null, passed, file, append, as_stdout, terminal };

/// The fixed part of a request. Behind it: the encoded `launch_details`, then the encoded arguments of a function.
struct launch_request {
  std::uint64_t id = 0;
  std::uint32_t slot = 0;
  launch_kind kind = launch_kind::function;
  bool body_in_file = false;  // the first descriptor is a file in memory that holds the body
  bool confirm = false;       // the child reports once it is set up, as its setters can fail
  bool terminal = false;      // the last descriptor is its controlling terminal, in a session of its own
  bool plain = true;          // nothing but the names was set: the child need not look at the details
  bool daemon = false;
  bool tied = true;     // the kernel may kill it when the thread ends that started the server: the first one
  bool traced = false;  // the details say where the child is to write its trace
  bool acknowledge = false;  // the child says when it has its arguments: they hold handles
  bool detached = false;     // may outlive its parent
  process_id in_memory;      // the child's place in the family's memory
  pid_t parent = 0;
  pid_t group = 0;  // of processes, which it joins; 0: one of its own
  std::array<stream_source, 3> streams{};
  std::uint32_t details_size = 0;
  function_token function;
  std::array<std::byte, 32> authkey{};  // of the family: a fresh image has drawn another
  sys::credentials credentials;         // exec_function: what it had before execve
};
static_assert(std::is_trivially_copyable_v<launch_request>);

/// One of setrlimit(2)'s.
struct own_limit {
  std::int32_t which = 0;
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

/// One that the child is to have under a number of its own.
struct given_descriptor {
  std::int32_t number = -1;
  std::int32_t fd = -1;  // where it is meanwhile, in the child
};

/// The variable part.
struct launch_details {
  std::string name;
  launch_options options;
  std::vector<given_descriptor> descriptors;  // come behind the streams
  std::array<std::string, 3> stream_paths;    // for stream_source::file and append
  std::vector<std::string> command;           // program and arguments
  std::string parent_name;
  trace_target trace;             // if `traced`
  std::vector<own_limit> limits;  // that this process has now and its fork server does not, see sys::standing
};

/// From the fork server; several may come in one message, with the pidfds of those that have one.
struct launch_reply {
  enum class what : std::uint8_t { hello, launched, ended, heir } kind = what::launched;
  bool has_pidfd = false;  // launched: the child exists
  std::uint64_t id = 0;
  pid_t pid = 0;
  stage failed = stage::none;
  int error = 0;
  bool siblings = false;  // children are the parent's own; otherwise `ended` follows for each
  sys::ending ending;     // ended
};
static_assert(std::is_trivially_copyable_v<launch_reply>);

constexpr std::size_t most_replies = 16;  // in one message

/// From a child that runs a function. Behind it: its result, or an encoded `thrown`.
struct child_report {
  enum class what : std::uint8_t {
    ready,
    has_arguments,
    value,
    exception,
    cannot_decode,
    unknown_function,
    cancelled  // it was asked to stop, and unwound
  } kind = what::ready;
  std::uint64_t id = 0;
  bool body_in_file = false;
  std::uint32_t objects = 0;  // value: so many `object_in_result` come first in the body
};
static_assert(std::is_trivially_copyable_v<child_report>);

/// A shared object that a result holds a handle of. The parent takes a reference before it gives up the child's.
struct object_in_result {
  object_name name;
  std::uint8_t kind = 0;
};

struct thrown {
  std::string type;
  std::string what;
  std::string trace;
};

/// Bodies up to this size travel in the message, larger ones in a file in memory.
constexpr std::size_t largest_inline_body = 32 * 1024;
constexpr std::size_t largest_message = largest_inline_body + 1024;

// Descriptors of a freshly executed image of ours, by number.
namespace exec_fd {
constexpr int first = 3;
constexpr int request = 3;  // function: a file with the launch_request and its body; server: control socket
constexpr int results = 4;
constexpr int parent = 5;  // pidfd of the parent
constexpr int spawn_table = 6;
constexpr int arena = 7;
constexpr int end = 8;
}  // namespace exec_fd

// `PROGRAM --brood-internal function` and `... server DESCRIPTORS`: how such an image is told what it is.
inline constexpr const char* internal_flag = "--brood-internal";
inline constexpr const char* internal_function = "function";
inline constexpr const char* internal_server = "server";

}  // namespace brood::detail
