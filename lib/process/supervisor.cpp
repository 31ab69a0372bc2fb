#include "process/supervisor.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include "brood/arena/family_memory.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "runtime/log.hpp"
#include "runtime/trace_file.hpp"
#include "system/error.hpp"
#include "system/socket.hpp"

namespace brood::detail {
namespace {

// What one turn of the loop handles of each kind; the rest waits for the next turn, so that timers and others get
// theirs. One item costs a few microseconds.
constexpr int batch = 64;
// Messages of the fork server hold up to `most_replies` each.
constexpr int reply_batch = batch / static_cast<int>(most_replies);

// How long a child may take to end after SIGTERM.
constexpr auto grace_period = std::chrono::seconds(2);

// Stands for a dead fork server among the pidfds; children count from 1.
constexpr std::uint64_t server_id = 0;
// Stands for a child of a dead child.
constexpr std::uint64_t orphan_id = std::numeric_limits<std::uint64_t>::max();

// A fork server that dies while it starts the same child again and again is not restarted for ever.
constexpr int most_deaths_in_a_row = 3;

supervisor* supervisor_of_process = nullptr;

std::exception_ptr launch_error(const child& child, stage at, int error) {
  return std::make_exception_ptr(std::system_error(
      error, std::system_category(), fmt::format("brood: cannot start {}: {}", child.name, name_of(at))));
}

/// A deadline that passes between a child's own end and its reaping has not ended it.
exit_status status_of(const sys::ending& ending, bool deadline_passed) {
  exit_status status;
  status.known = ending.known;
  status.signal = ending.signaled ? ending.code : 0;
  status.exitcode = !ending.known ? 255 : ending.signaled ? -ending.code : ending.code;
  status.core_dumped = ending.core_dumped;
  status.deadline_passed = deadline_passed && status.signal == SIGKILL;
  const auto duration = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  const rusage& used = ending.usage;
  const auto count = [](long n) { return static_cast<std::uint64_t>(n); };
  status.usage = {duration(used.ru_utime), duration(used.ru_stime),   count(used.ru_maxrss) * 1024, count(used.ru_minflt),
                  count(used.ru_majflt),   count(used.ru_nvcsw), count(used.ru_nivcsw)};
  return status;
}

bool is_plain(const launch_options& options, const std::array<stream_source, 3>& streams) {
  return options.env.empty() && options.unset_env.empty() && !options.clear_env && options.cwd.empty() &&
         !options.nice && options.cpus.empty() && options.limits.empty() && !options.detached &&
         streams == std::array<stream_source, 3>();
}

bool can_fail_in_child(const launch_plan& plan) {
  const launch_options& options = plan.options;
  const bool files = std::any_of(std::begin(plan.streams), std::end(plan.streams), [](const auto& stream) {
    return stream && (stream->what() == stdio::kind::file || stream->what() == stdio::kind::append);
  });
  return files || !options.cwd.empty() || options.nice || !options.cpus.empty() || !options.limits.empty() ||
         options.detached;
}

std::pair<unique_fd, unique_fd> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) sys::throw_errno("brood: cannot start a child: pipe2");
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

unique_fd copy_of(int fd) {
  unique_fd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) sys::throw_errno("brood: cannot start a child: fcntl");
  return copy;
}

/// Here, as a child would tell too late; setenv(3).
void require_valid_names(const std::vector<std::pair<std::string, std::string>>& variables) {
  for (const auto& [name, value] : variables) {
    const bool valid = !name.empty() && name.find_first_of(std::string_view("=\0", 2)) == std::string::npos;
    if (!valid) sys::throw_errno(fmt::format("brood: cannot start a child: setenv \"{}\"", name), EINVAL);
  }
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

}  // namespace

const char* name_of(stage s) noexcept {
  switch (s) {
    case stage::none: return "";
    case stage::clone: return "clone";
    case stage::receive_descriptors: return "receiving descriptors in the fork server";
    case stage::receive_request: return "receiving its request in the fork server";
    case stage::session: return "setting up its session";
    case stage::standard_stream: return "opening a standard stream";
    case stage::environment: return "setenv";
    case stage::chdir: return "chdir";
    case stage::setpriority: return "setpriority";
    case stage::sched_setaffinity: return "sched_setaffinity";
    case stage::setrlimit: return "setrlimit";
    case stage::execve: return "execve";
    case stage::decode: return "decoding its request";
  }
  return "an unknown step";
}

// --- beginning and end ---

supervisor::supervisor(runtime& loop) : loop_(loop), reply_buffer_(largest_message), report_buffer_(largest_message) {
  if (supervisor_of_process != nullptr) {
    throw std::logic_error("brood: children are managed by the runtime of another thread of this process");
  }
  ensure_server(family::get());
  pidfds_ = unique_fd(epoll_create1(EPOLL_CLOEXEC));
  if (!pidfds_) sys::throw_errno("epoll_create1");
  sys::set_nonblocking(connection().results.get(), true);
  results_watch_.emplace(loop_, connection().results.get(), [this](int) { read_reports(batch); });
  results_watch_->background();
  results_watch_->watch(fd_watch::readable);
  pidfds_watch_.emplace(loop_, pidfds_.get(), [this](int) { reap_some(); });
  pidfds_watch_->background();
  pidfds_watch_->watch(fd_watch::readable);
  serving_ = static_cast<bool>(connection().control);  // else the server died while nobody looked
  if (serving_) watch_server();
  if (connection().heir) watch_for_death(connection().heir->pidfd);
  ask_for_heir();
  supervisor_of_process = this;
}

supervisor::~supervisor() {
  for (const unique_fd& server : dead_servers_) sys::await_and_reap(server.get());  // killed, so at once
  supervisor_of_process = nullptr;
}

supervisor& supervisor::current() { return runtime::current().use<supervisor>(); }

void supervisor::abandon_after_fork() noexcept { supervisor_of_process = nullptr; }

void supervisor::count_children(runtime& loop, snapshot& counted) {
  const auto* self = loop.find<supervisor>();
  if (self == nullptr) return;
  for (const auto& [id, child] : self->children_) ++(child->pid != 0 ? counted.children : counted.starting);
}

std::vector<std::shared_ptr<child>> supervisor::children() const {
  std::vector<std::shared_ptr<child>> result;
  for (const auto& [id, child] : children_) {
    if (child->pid != 0) result.push_back(child);
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
  return result;
}

task<> supervisor::end_children(bool all) {
  std::vector<task<>> ends;
  for (const auto& [id, child] : children_) {
    if (child->detached) continue;
    if (all || child->daemon) {
      ends.push_back(end_child(child));
    } else {
      ends.push_back([](std::shared_ptr<detail::child> c) -> task<> { co_await c->ended.wait(); }(child));
    }
  }
  co_await when_all(std::move(ends));
}

task<> end_child(std::shared_ptr<child> child) {
  child->signalled = true;
  child->send_signal(SIGTERM);
  bool ended = true;
  try {
    co_await with_timeout(grace_period, child->ended.wait());
  } catch (const timed_out&) {
    ended = false;
  }
  if (!ended) {
    child->kill_tree();
    co_await child->ended.wait();
  }
}

// --- launching ---

task<std::shared_ptr<child>> supervisor::launch(launch_plan plan, launch_target target) {
  require_valid_names(plan.options.env);
  auto child = make_child(plan, target);
  queue_.push_back(make_request(child, std::move(plan), std::move(target)));
  children_.emplace(child->id, child);
  flush();
  bool stopped = false;
  try {
    co_await child->launched.wait();
  } catch (const cancelled&) {
    stopped = true;
  }
  if (stopped) {
    withdraw(*child);
    task_scope uncancelled;
    auto end = [](std::shared_ptr<detail::child> c) -> task<> { co_await c->ended.wait(); }(child);
    end.set_scope(uncancelled);
    co_await std::move(end);
    throw cancelled();
  }
  if (child->failure) std::rethrow_exception(child->failure);
  co_return child;
}

/// Nobody wants this child any more: takes its request back, or kills it as soon as it exists.
void supervisor::withdraw(child& child) {
  child.unwanted = true;
  if (child.pidfd) child.kill_tree();
  const auto unsent =
      std::find_if(queue_.begin(), queue_.end(), [&](const outgoing& out) { return out.target.get() == &child; });
  if (unsent == queue_.end()) return;
  const outgoing kept = std::move(*unsent);
  queue_.erase(unsent);
  forget(child);
}

std::shared_ptr<child> supervisor::make_child(const launch_plan& plan, const launch_target& target) {
  family& self = family::get();
  auto made = std::make_shared<child>();
  made->id = ++self.last_id;
  made->slot = take_slot();
  made->kind = target.kind;
  if (target.kind != launch_kind::program) made->memory_slot = family_memory::reserve_slot();
  made->name = plan.options.name;
  if (made->name.empty()) {
    made->name = target.command.empty() ? fmt::format("process-{}", ++self.last_name) : target.command.front();
  }
  made->daemon = plan.options.daemon.value_or(self.daemon);
  made->detached = plan.options.detached;
  made->confirm = target.kind != launch_kind::program && can_fail_in_child(plan);
  made->relayed = !connection().siblings;
  made->time_limit = plan.deadline;
  return made;
}

std::uint32_t supervisor::take_slot() {
  if (!free_slots_.empty()) {
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
  }
  if (slots_used_ == spawn_table::slots) sys::throw_errno("brood: too many children", EAGAIN);
  connection().table.note_used(slots_used_ + 1);
  return slots_used_++;
}

supervisor::outgoing supervisor::make_request(const std::shared_ptr<child>& child, launch_plan plan,
                                              launch_target target) {
  launch_request request;
  request.id = child->id;
  request.slot = child->slot;
  request.kind = target.kind;
  request.confirm = child->confirm;
  request.function = target.function;
  request.acknowledge = !target.objects.empty();
  request.memory_slot = child->memory_slot;
  child->argument_objects = std::move(target.objects);
  launch_details details;
  outgoing out;
  out.target = child;
  try {
    make_streams(*child, plan, request, details, out);
    details.options = std::move(plan.options);
    details.options.name = child->name;
    details.command = std::move(target.command);
    details.parent_name = family::get().name();
    if (const trace_file* trace = trace_file::current(); trace != nullptr && child->kind != launch_kind::program) {
      request.traced = true;
      details.trace = trace->target();
    }
    add_changes_since_start(family::get(), details.options);
    request.plain = out.fds.empty() && is_plain(details.options, request.streams);
    request.daemon = child->daemon;
    request.parent = getpid();
    request.authkey = family::get().authkey;
    const bytes encoded = encode(details);
    request.details_size = static_cast<std::uint32_t>(encoded.size());
    request.body_in_file = encoded.size() + target.arguments.size() > largest_inline_body;
    out.message.resize(sizeof request);
    out.message.insert(out.message.end(), encoded.begin(), encoded.end());
    out.message.insert(out.message.end(), target.arguments.begin(), target.arguments.end());
    if (request.body_in_file) {
      out.owned.push_back(sys::memory_file(std::span(out.message).subspan(sizeof request)));
      out.fds.insert(out.fds.begin(), out.owned.back().get());
      out.message.resize(sizeof request);
    }
  } catch (...) {
    free_slots_.push_back(child->slot);
    if (child->memory_slot != 0) family_memory::on_death(child->memory_slot);
    throw;
  }
  std::memcpy(out.message.data(), &request, sizeof request);
  connection().table.clear(child->slot);
  connection().table[child->slot].detached = child->detached ? 1 : 0;
  return out;
}

void supervisor::make_streams(child& child, const launch_plan& plan, launch_request& request, launch_details& details,
                              outgoing& out) {
  const bool program = child.kind == launch_kind::program;
  for (int number = 0; number < 3; ++number) {
    const auto index = static_cast<std::size_t>(number);
    const auto& wanted = plan.streams[index];
    if (!wanted && !program) continue;  // a function's: /dev/null for input, the family's for output
    stream_source& source = request.streams[index];
    source = stream_source::passed;
    switch (wanted ? wanted->what() : stdio::kind::inherit) {
      case stdio::kind::inherit:
        if (is_open(number)) {
          out.fds.push_back(number);
        } else {
          source = stream_source::null;
        }
        // In a group of its own, reading the terminal would stop it, tcsetpgrp(3).
        if (number == 0 && isatty(0) == 1) request.own_group = false;
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
        out.pass(copy_of(wanted->fd()));
        break;
      case stdio::kind::pipe: {
        auto [read_end, write_end] = make_pipe();
        if (number == 0) {
          child.input = writer(std::move(write_end));
          out.pass(std::move(read_end));
        } else {
          child.outputs[index - 1] = reader(std::move(read_end));
          out.pass(std::move(write_end));
        }
        break;
      }
    }
  }
}

void supervisor::flush() {
  if (!queue_.empty() && !connection().control) start_server_again();
  while (serving_ && !queue_.empty()) {
    outgoing& next = queue_.front();
    const auto sent = sys::send_message(connection().control.get(), {next.message}, next.fds);
    if (sent == sys::transfer::gone) return server_lost();
    if (sent == sys::transfer::would_block) break;
    const std::uint64_t id = next.target->id;
    in_flight_.emplace(id, std::move(next));
    queue_.pop_front();
  }
  if (control_watch_) {
    control_watch_->watch(serving_ && !queue_.empty() ? fd_watch::readable | fd_watch::writable : fd_watch::readable);
  }
}

void supervisor::read_replies() {
  for (int i = 0; i < reply_batch && control_watch_; ++i) {
    sys::received message;
    const auto got = sys::receive_message(connection().control.get(), reply_buffer_, message);
    if (got == sys::transfer::would_block) return;
    if (got == sys::transfer::gone) return server_lost();
    const auto* replies = reinterpret_cast<const launch_reply*>(reply_buffer_.data());
    if (replies->kind == launch_reply::what::heir) {
      accept_heir(replies->pid, std::move(message.fds));
      continue;
    }
    if (replies->kind == launch_reply::what::hello) {
      hear_hello(std::span(reply_buffer_).first(message.size));
      continue;
    }
    auto pidfd = message.fds.begin();
    for (const launch_reply& reply : std::span(replies, message.size / sizeof(launch_reply))) {
      const bool arrived = reply.has_pidfd && pidfd != message.fds.end();
      handle_reply(reply, arrived ? std::move(*pidfd++) : unique_fd());
    }
  }
}

void supervisor::hear_hello(std::span<const std::byte> message) {
  try {
    accept_hello(connection(), message);
    serving_ = true;
    ask_for_heir();
  } catch (...) {
    fail_queue(std::current_exception());
    server_lost();  // so that the next spawn tries again
  }
}

void supervisor::handle_reply(launch_reply reply, unique_fd pidfd) {
  const auto found = children_.find(reply.id);
  if (found == children_.end()) return;
  const std::shared_ptr<child> child = found->second;
  if (reply.kind == launch_reply::what::ended) {
    read_reports(std::numeric_limits<int>::max());
    return finish(*child, reply.ending);
  }
  in_flight_.erase(reply.id);
  deaths_in_a_row_ = 0;
  if (reply.failed != stage::none) {
    child->failure = launch_error(*child, reply.failed, reply.error);
  } else if (reply.has_pidfd && !pidfd) {  // this process is at its limit of descriptors
    child->failure = launch_error(*child, stage::receive_descriptors, EMFILE);
    ::kill(reply.pid, SIGKILL);  // ours and not reaped, so the pid is its own
  }
  if (reply.pid <= 0) return fail_launch(*child, child->failure);
  launched(*child, reply.pid, std::move(pidfd));
}

void supervisor::launched(child& child, pid_t pid, unique_fd pidfd) {
  child.pid = pid;
  child.pidfd = std::move(pidfd);
  if (child.launched_at == clock::time_point()) {
    child.launched_at = clock::now();
    tell_of_start(child);
  }
  if (child.pidfd && !child.relayed) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = child.id;
    if (epoll_ctl(pidfds_.get(), EPOLL_CTL_ADD, child.pidfd.get(), &event) != 0) {
      child.failure = launch_error(child, stage::receive_descriptors, errno);
      child.send_signal(SIGKILL);
    }
  }
  if (!child.pidfd) {
    // No descriptor could be had: the child has been killed and is dying; wait for it by its number.
    loop_.post([this, id = child.id, pid] {
      if (!children_.contains(id)) return;
      siginfo_t info{};
      if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | __WALL) == 0 && info.si_pid == 0) {
        return launched(*children_.at(id), pid, unique_fd());
      }
      sys::ending ending;
      finish(*children_.at(id), ending);
    });
    return;
  }
  if (child.failure) return;  // a program that could not be executed: told when it has been reaped
  if (child.unwanted) return child.kill_tree();
  if (child.time_limit && !child.status) child.deadline.start(time_after(*child.time_limit), child);
  if (!child.confirm) child.launched.set();
}

void supervisor::fail_launch(child& child, std::exception_ptr failure) {
  child.failure = std::move(failure);
  log_debug("{} could not be started", child.name);
  forget(child);
}

void supervisor::tell_of_start(const child& child) noexcept {
  log_debug("started {} ({}) in {:.3f} ms", child.name, child.pid,
            std::chrono::duration<double, std::milli>(child.launched_at - child.requested_at).count());
  trace_file* trace = trace_file::current();
  if (trace == nullptr) return;
  trace->name_process(child.pid, child.name);
  trace->span("spawn", child.name, &child, child.requested_at, child.launched_at);
}

void supervisor::tell_of_end(const child& child) noexcept {
  if (child.pid == 0) return;
  log_debug("{} ({}) {}", child.name, child.pid, describe(*child.status));
  trace_file* trace = trace_file::current();
  if (trace == nullptr) return;
  const resource_usage& used = child.status->usage;
  trace->stretch(child.pid, child.name, child.launched_at, clock::now(),
                 fmt::format(R"("end":"{}","user_us":{},"system_us":{},"peak_bytes":{})", describe(*child.status),
                             used.user_time.count(), used.system_time.count(), used.peak_memory));
}

void supervisor::forget(child& child) {
  const std::shared_ptr<detail::child> kept = children_.at(child.id);
  in_flight_.erase(child.id);
  children_.erase(child.id);
  connection().table.clear(child.slot);
  free_slots_.push_back(child.slot);
  child.argument_objects.clear();
  if (child.memory_slot != 0) end_in_memory(child.memory_slot);
  child.launched.set();
  child.ended.set();
}

/// Gives back what the child held in the family's memory, and what children of its own did that died with it.
void supervisor::end_in_memory(std::uint32_t slot) {
  family_memory::on_death(slot);
  for (const orphan& left : family_memory::take_orphans()) {
    if (left.pid == 0) {
      family_memory::on_death(left.slot);
      continue;
    }
    unique_fd pidfd = sys::open_process(left.pid);
    if (!pidfd) {
      family_memory::on_death(left.slot);
      continue;
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = orphan_id;
    epoll_ctl(pidfds_.get(), EPOLL_CTL_ADD, pidfd.get(), &event);
    orphans_.push_back({left.slot, std::move(pidfd)});
  }
}

void supervisor::bury_orphans() {
  std::erase_if(orphans_, [this](watched_orphan& orphan) {
    if (!sys::has_ended(orphan.pidfd.get())) return false;
    epoll_ctl(pidfds_.get(), EPOLL_CTL_DEL, orphan.pidfd.get(), nullptr);
    family_memory::on_death(orphan.slot);
    return true;
  });
}

// --- reports ---

void supervisor::read_reports(int most) {
  for (int i = 0; i < most; ++i) {
    sys::received message;
    if (sys::receive_message(connection().results.get(), report_buffer_, message) != sys::transfer::done) return;
    handle_report(std::span(report_buffer_).first(message.size), std::move(message.fds));
  }
}

void supervisor::handle_report(std::span<const std::byte> message, std::vector<unique_fd> fds) {
  child_report report;
  if (message.size() < sizeof report) return;
  std::memcpy(&report, message.data(), sizeof report);
  const auto found = children_.find(report.id);
  if (found == children_.end()) return;
  child& child = *found->second;
  if (report.kind == child_report::what::ready) {
    child.confirm = false;
    if (child.pid != 0 && !child.failure && !child.unwanted) child.launched.set();
    return;
  }
  if (report.kind == child_report::what::has_arguments) {
    child.argument_objects.clear();
    return;
  }
  child.report = report.kind;
  if (report.body_in_file) {
    receive_large_report(child, fds);
  } else {
    const auto body = message.subspan(sizeof report);
    child.report_body.assign(body.begin(), body.end());
  }
  hold_objects(child, report.objects);
}

/// The child may be dying already, but what it holds is its own until it is reaped: time enough to take references.
void supervisor::hold_objects(child& child, std::size_t count) {
  const auto body = child.reported();
  if (count > body.size() / sizeof(object_in_result)) return;
  for (std::size_t i = 0; i < count; ++i) {
    object_in_result object;
    std::memcpy(&object, body.data() + i * sizeof object, sizeof object);
    child.result_objects.emplace_back(object.name, object.kind);
  }
  child.report_begin = count * sizeof(object_in_result);
}

void supervisor::receive_large_report(child& child, const std::vector<unique_fd>& fds) {
  try {
    if (fds.empty()) sys::throw_errno("its descriptor", EMFILE);  // this process is at its limit
    child.large_report = sys::map_whole(fds.front().get());
  } catch (const std::system_error& e) {
    child.failure = std::make_exception_ptr(std::system_error(
        e.code(), fmt::format("brood: cannot receive the result of {}", child.name)));
  }
}

// --- ends ---

void supervisor::reap_some() {
  epoll_event ended[batch];
  const int count = epoll_wait(pidfds_.get(), ended, batch, 0);
  if (count <= 0) return;
  // A child reports before it ends, so the reports of all of these have come.
  read_reports(std::numeric_limits<int>::max());
  for (int i = 0; i < count; ++i) {
    const std::uint64_t id = ended[i].data.u64;  // a copy: epoll_event is packed
    if (id == server_id) reap_dead_servers();
    if (id == orphan_id) bury_orphans();
    const auto found = children_.find(id);
    if (found == children_.end()) continue;
    const std::shared_ptr<child> child = found->second;
    // Before it is reaped: from then on its pid may become somebody else's.
    connection().table.release_pid(child->slot);
    auto ending = sys::reap(child->pidfd.get());
    if (!ending && child->orphaned) ending.emplace();  // its new parent may never reap it: nobody will know
    if (ending) finish(*child, *ending);
  }
}

void supervisor::finish(child& child, const sys::ending& ending) {
  const spawn_slot& slot = connection().table[child.slot];
  if (!child.failure && slot.failed != stage::none) child.failure = launch_error(child, slot.failed, slot.error);
  child.deadline.stop();
  if (child.pidfd && !child.relayed) epoll_ctl(pidfds_.get(), EPOLL_CTL_DEL, child.pidfd.get(), nullptr);
  child.pidfd.reset();
  child.status = status_of(ending, child.deadline_passed);
  if (child.confirm && !child.failure && !child.unwanted) {
    child.failure = std::make_exception_ptr(child_died(child.name, child.pid, *child.status));
  }
  tell_of_end(child);
  forget(child);
}

// --- the death of the fork server ---

/// Begins to listen to a server that has been started.
void supervisor::watch_server() {
  sys::set_nonblocking(connection().control.get(), true);
  control_watch_.emplace(loop_, connection().control.get(), [this](int) {
    read_replies();
    flush();
  });
  control_watch_->background();
  control_watch_->watch(fd_watch::readable);
}

void supervisor::server_lost() {
  log_debug("the fork server {} has died; {}", connection().server,
            connection().heir ? "its heir takes over" : "the next spawn starts another");
  serving_ = false;
  control_watch_.reset();
  connection().control.reset();
  connection().server = 0;
  if (unique_fd pidfd = std::move(connection().server_pidfd)) {
    sys::send_signal(pidfd.get(), SIGKILL);  // in case it has only closed its socket
    watch_for_death(pidfd);
    dead_servers_.push_back(std::move(pidfd));
  }
  reap_canary(connection());
  if (!connection().heir) bury_unknown_heir();
  recover_in_flight();
  if (!connection().siblings) take_over_relayed();
  if (++deaths_in_a_row_ > most_deaths_in_a_row) {
    fail_queue(std::make_exception_ptr(error("brood: the fork server keeps dying; see standard error")));
    deaths_in_a_row_ = 0;
  }
  if (connection().heir) {
    promote_heir();
  } else if (!queue_.empty()) {
    start_server_again();
  }
}

void supervisor::watch_for_death(const unique_fd& pidfd_of_server) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = server_id;
  epoll_ctl(pidfds_.get(), EPOLL_CTL_ADD, pidfd_of_server.get(), &event);
}

void supervisor::reap_dead_servers() {
  if (connection().heir && sys::has_ended(connection().heir->pidfd.get())) {
    dead_servers_.push_back(std::move(connection().heir->pidfd));
    connection().heir.reset();
    ask_for_heir();
  }
  std::erase_if(dead_servers_, [this](unique_fd& pidfd) {
    if (!sys::reap(pidfd.get())) return false;
    epoll_ctl(pidfds_.get(), EPOLL_CTL_DEL, pidfd.get(), nullptr);
    return true;
  });
}

/// Only the first process of a family has one: every child that spawns would else cost two processes more. Without an
/// heir the server is started over again from a fresh image.
void supervisor::ask_for_heir() {
  if (!serving_ || connection().heir || !connection().siblings || family::get().is_child) return;
  if (!heir_slot_) heir_slot_ = take_slot();
  connection().table.clear(*heir_slot_);
  connection().table[*heir_slot_].detached = 1;  // the one that kills what is left must not begin with itself
  launch_request request;
  request.kind = launch_kind::heir;
  request.slot = *heir_slot_;
  static_cast<void>(sys::send_message(connection().control.get(), {sys::bytes_of(request)}));
}

void supervisor::accept_heir(pid_t pid, std::vector<unique_fd> fds) {
  if (fds.size() != 2) return bury_unknown_heir();  // at the limit of descriptors
  connection().table.release_pid(*heir_slot_);
  connection().heir = {std::move(fds[1]), std::move(fds[0]), pid};
  watch_for_death(connection().heir->pidfd);
}

/// An heir that was made but could not be handed over, as the server died or a descriptor was wanting. It is ours to
/// reap; as nobody knows it, it does nothing but wait for its end.
void supervisor::bury_unknown_heir() {
  const pid_t pid = heir_slot_ ? connection().table.pid(*heir_slot_) : 0;
  if (pid == 0) return;
  connection().table.release_pid(*heir_slot_);
  unique_fd pidfd = sys::open_process(pid);
  if (!pidfd) return end_server(pid);  // not one descriptor to wait for it with
  sys::send_signal(pidfd.get(), SIGKILL);
  watch_for_death(pidfd);
  dead_servers_.push_back(std::move(pidfd));
}

void supervisor::promote_heir() {
  auto heir = std::move(*connection().heir);
  connection().heir.reset();
  epoll_ctl(pidfds_.get(), EPOLL_CTL_DEL, heir.pidfd.get(), nullptr);
  connection().control = std::move(heir.control);
  connection().server_pidfd = std::move(heir.pidfd);
  connection().server = heir.pid;
  watch_server();
  serving_ = true;
  ask_for_heir();
  flush();
}

void supervisor::fail_queue(const std::exception_ptr& failure) {
  for (outgoing& out : std::exchange(queue_, {})) fail_launch(*out.target, failure);
}

/// Relayed children die with their server, their parent. Nobody is left to tell how, except perhaps the kernel.
void supervisor::take_over_relayed() {
  for (auto& [id, child] : children_) {
    if (!child->pidfd || !std::exchange(child->relayed, false)) continue;  // not those that are asked for again
    child->orphaned = true;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = id;
    epoll_ctl(pidfds_.get(), EPOLL_CTL_ADD, child->pidfd.get(), &event);
  }
}

/// The kernel writes a child's pid to its slot while it makes it, so the table says which requests were carried out:
/// those children are ours to take over, the others are asked for again, in their order.
void supervisor::recover_in_flight() {
  std::vector<outgoing> lost;
  for (auto& [id, out] : in_flight_) lost.push_back(std::move(out));
  in_flight_.clear();
  std::sort(lost.begin(), lost.end(), [](const auto& a, const auto& b) { return a.target->id > b.target->id; });
  for (outgoing& out : lost) {
    const pid_t pid = connection().table.pid(out.target->slot);
    if (pid == 0) {
      queue_.push_front(std::move(out));
    } else if (unique_fd pidfd = sys::open_process(pid)) {
      launched(*out.target, pid, std::move(pidfd));
    } else {
      finish(*out.target, sys::ending());
    }
  }
}

void supervisor::start_server_again() {
  try {
    start_server(connection(), false);
    watch_server();
  } catch (...) {
    connection().control.reset();  // so that the next spawn tries again
    fail_queue(std::current_exception());
  }
}

}  // namespace brood::detail
