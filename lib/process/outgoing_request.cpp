#include "process/outgoing_request.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "process/family.hpp"
#include "runtime/trace_file.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"
#include "system/memory_file.hpp"
#include "system/terminal.hpp"

namespace brood::detail {
namespace {

std::pair<unique_fd, unique_fd> make_pipe() {
  int ends[2];
  if (sys::pipe2(ends, O_CLOEXEC) != 0) sys::throw_errno("brood: cannot start a child: pipe2");
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

unique_fd copy_of(int fd) {
  unique_fd copy(sys::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) sys::throw_errno("brood: cannot start a child: fcntl");
  return copy;
}

[[noreturn]] void refuse(const std::string& why) {
  sys::throw_errno("brood: cannot start a child: " + why, EINVAL);
}

void require_whole(std::string_view text, const char* what) {
  if (text.find('\0') == std::string_view::npos) return;
  refuse(fmt::format("{} contains a zero byte: \"{}\"...", what, text.substr(0, text.find('\0'))));
}

/// Where this process stands now and its server did not when it was started, as far as that can be given to a clone of the
/// server. The limit on descriptors is compared with the one at the start: the runtime has raised it.
void add_changes_of_standing(const sys::standing& now, launch_details& details) {
  const family& self = family::get();
  const sys::standing& of_server = self.server->standing;
  if (now.umask != of_server.umask && !details.options.umask) details.options.umask = now.umask;
  for (std::size_t i = 0; i < now.limits.size(); ++i) {
    const bool descriptors = i == RLIMIT_NOFILE;
    const rlimit& own = now.limits[i];
    const rlimit& before = descriptors ? self.descriptor_limit : of_server.limits[i];
    if (own.rlim_cur == before.rlim_cur && own.rlim_max == before.rlim_max) continue;
    if (descriptors && own.rlim_cur == own.rlim_max && own.rlim_max == before.rlim_max) continue;
    details.limits.push_back({static_cast<std::int32_t>(i), own.rlim_cur, own.rlim_max});
  }
}

bool is_open(int fd) { return sys::fcntl(fd, F_GETFD) >= 0; }

}  // namespace

bool can_fail_in_child(const launch_plan& plan) {
  const bool files = std::any_of(std::begin(plan.streams), std::end(plan.streams), [](const auto& stream) {
    return stream && (stream->what() == stdio::kind::file || stream->what() == stdio::kind::append);
  });
  return files || plan.terminal || plan.options != launch_options();
}

void require_valid(const launch_plan& plan, const launch_target& target) {
  const launch_options& options = plan.options;
  for (const auto& [name, value] : options.env) {
    require_whole(name, "the name of a variable");
    require_whole(value.value_or(""), "the value of a variable");
    if (name.empty() || name.find('=') != std::string::npos) refuse(fmt::format("setenv \"{}\"", name));
  }
  require_whole(options.cwd, "its working directory");
  require_whole(options.root, "its root folder");
  require_whole(options.arg0, "its own name");
  for (const auto& [number, own] : plan.descriptors) {
    if (number < sys::first_descriptor)
      refuse(fmt::format("descriptor {} is a standard stream, which has a setter of its own", number));
  }
  // To the kernel this number means: as it is.
  constexpr auto nobody = static_cast<std::uint32_t>(-1);
  if (options.user == nobody || options.group == nobody) refuse("-1 is the id of no user and of no group");
  for (const auto& stream : plan.streams) {
    if (stream) require_whole(stream->path().native(), "the path of a standard stream");
    if (stream && stream->what() == stdio::kind::to_stdout && &stream != &plan.streams[2])
      refuse("only standard error can go to_stdout");
  }
  if (plan.terminal && !sys::is_terminal_size(plan.terminal->columns, plan.terminal->rows))
    refuse(fmt::format("a terminal of {} columns and {} rows", plan.terminal->columns, plan.terminal->rows));
  if (plan.terminal && plan.streams[1] && plan.streams[1]->what() == stdio::kind::pipe)
    refuse("with a terminal, stdout_() reads that: standard output cannot be piped as well");
  if (target.kind != launch_kind::program) return;
  if (target.command.empty())
    refuse("there is no program to run: this command was moved from, or awaited already");
  if (target.command.front().empty()) refuse("a program without a name");
  for (const std::string& each : target.command) require_whole(each, "a word of the command");
}

outgoing_request::outgoing_request(std::shared_ptr<child> child, launch_plan plan, launch_target what,
                                   const sys::standing& now)
    : target(std::move(child)), generation(family::get().server->generation) {
  launch_request request;
  request.id = target->id;
  request.slot = target->slot;
  request.kind = what.kind;
  request.confirm = target->confirm;
  request.function = what.function;
  request.acknowledge = !target->argument_objects.empty();
  request.in_memory = target->in_memory;
  request.detached = target->detached;
  request.daemon = target->daemon;
  request.parent = getpid();
  request.authkey = family::get().authkey;
  request.group = plan.group;
  request.terminal = plan.terminal.has_value();
  launch_details details;
  for (int number = 0; number < 3; ++number) {
    make_stream(number, plan.streams[static_cast<std::size_t>(number)], request, details);
  }
  for (const auto& [number, own] : plan.descriptors) {
    details.descriptors.push_back({number, -1});
    pass(copy_of(own));
  }
  if (plan.terminal) make_terminal(*plan.terminal, request);
  const bool own_session = plan.options.session || plan.options.detached || plan.terminal;
  const bool own_group = request.group == 0 && plan.options.process_group.value_or(0) == 0;
  target->leads_group = (own_session || own_group) && !plan.pinned;
  details.options = std::move(plan.options);
  details.name = target->name;
  details.command = std::move(what.command);
  details.parent_name = family::get().name();
  if (const trace_file* trace = trace_file::current();
      trace != nullptr && target->kind != launch_kind::program) {
    request.traced = true;
    details.trace = trace->target();
  }
  add_changes_since_start(family::get(), details.options);
  add_changes_of_standing(now, details);
  request.tied = family::get().server->by_first_thread;
  request.plain = fds.empty() && details.options == launch_options() &&
                  request.streams == std::array<stream_source, 3>() && details.limits.empty();
  put_together(request, encode(details), what.arguments);
}

void outgoing_request::put_together(launch_request& request, const bytes& details, const bytes& arguments) {
  request.details_size = static_cast<std::uint32_t>(details.size());
  request.body_in_file = details.size() + arguments.size() > largest_inline_body;
  message.resize(sizeof request);
  message.insert(message.end(), details.begin(), details.end());
  message.insert(message.end(), arguments.begin(), arguments.end());
  if (request.body_in_file) {
    owned.push_back(sys::memory_file(std::span(message).subspan(sizeof request)));
    fds.insert(fds.begin(), owned.back().get());
    message.resize(sizeof request);
  }
  std::memcpy(message.data(), &request, sizeof request);
}

void outgoing_request::pass(unique_fd fd) {
  fds.push_back(fd.get());
  owned.push_back(std::move(fd));
}

void outgoing_request::make_stream(int number, const std::optional<stdio>& wanted, launch_request& request,
                                   launch_details& details) {
  // A function's: /dev/null for input, the family's for output.
  if (!wanted && target->kind != launch_kind::program && !request.terminal) return;
  const auto index = static_cast<std::size_t>(number);
  stream_source& source = request.streams[index];
  if (!wanted && request.terminal) {
    source = stream_source::terminal;
    return;
  }
  source = stream_source::passed;
  switch (wanted ? wanted->what() : stdio::kind::inherit) {
    case stdio::kind::inherit:
      if (is_open(number)) {
        fds.push_back(number);
      } else {
        source = stream_source::null;
      }
      // In a group of its own, reading the terminal would stop it, tcsetpgrp(3).
      if (number == 0 && isatty(0) == 1) request.group = sys::getpgid(0);
      break;
    case stdio::kind::null:
      source = stream_source::null;
      break;
    case stdio::kind::file:
    case stdio::kind::append:
      source = wanted->what() == stdio::kind::file ? stream_source::file : stream_source::append;
      details.stream_paths[index] = wanted->path().string();
      break;
    case stdio::kind::descriptor:
      pass(copy_of(wanted->fd()));
      break;
    case stdio::kind::pipe:
      make_pipe_to(number);
      break;
    case stdio::kind::to_stdout:
      source = stream_source::as_stdout;
      break;
  }
}

void outgoing_request::make_pipe_to(int number) {
  auto [read_end, write_end] = make_pipe();
  if (number == 0) {
    target->input = writer(std::move(write_end));
    pass(std::move(read_end));
  } else {
    reader& from = target->outputs[static_cast<std::size_t>(number) - 1];
    from = reader(std::move(read_end));
    if (number == 2) keep_tail(from);
    pass(std::move(write_end));
  }
}

/// Both ends stand for all three streams, of which some may lead elsewhere all the same.
void outgoing_request::make_terminal(const terminal_size& size, launch_request& request) {
  sys::pseudo_terminal made = sys::open_terminal(size.columns, size.rows);
  if (request.streams[0] == stream_source::terminal)
    target->input = writer(sys::duplicate(made.master.get()));
  target->outputs[0] = reader(std::move(made.master));
  pass(std::move(made.slave));
}

}  // namespace brood::detail
