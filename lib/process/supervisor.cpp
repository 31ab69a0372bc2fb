#include "process/supervisor.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <limits>

#include "brood/arena/family_memory.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "runtime/log.hpp"
#include "runtime/trace_file.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
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

supervisor* supervisor_of_process = nullptr;

std::exception_ptr launch_error(const child& child, stage at, int error) noexcept {
  try {
    return std::make_exception_ptr(std::system_error(
        error, std::system_category(), fmt::format("brood: cannot start {}: {}", child.name, name_of(at))));
  } catch (const std::bad_alloc&) {
    return std::current_exception();
  }
}

/// This process is at its limit of descriptors.
void fail_for_want_of_descriptor(child& child, pid_t pid) {
  child.failure = launch_error(child, stage::receive_descriptors, EMFILE);
  sys::kill(pid, SIGKILL);  // ours and not reaped, so the pid is its own
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
  status.usage = {duration(used.ru_utime), duration(used.ru_stime), count(used.ru_maxrss) * 1024,
                  count(used.ru_minflt),   count(used.ru_majflt),   count(used.ru_nvcsw),
                  count(used.ru_nivcsw)};
  return status;
}

/// Of this process, which gets a fork server if it has none.
server_connection& connection_for_spawning() {
  if (supervisor_of_process != nullptr) {
    throw std::logic_error("brood: children are managed by the runtime of another thread of this process");
  }
  ensure_server(family::get());
  return *family::get().server;
}

mortal mortal_of(const child& child) { return {mortal::kind::child, child.id}; }

/// An orphan's number for the watch, below 2^56.
constexpr std::uint64_t number_of(process_id id) { return std::uint64_t{id.generation} << 24 | id.slot; }
constexpr process_id id_of(std::uint64_t number) {
  return {static_cast<std::uint32_t>(number & 0xffffff), static_cast<std::uint32_t>(number >> 24)};
}

}  // namespace

// --- beginning and end ---

supervisor::supervisor(runtime& loop)
    : connection_(connection_for_spawning()),
      reply_buffer_(largest_message),
      report_buffer_(largest_message),
      deaths_(loop, [this](std::span<const mortal> dead) { on_deaths(dead); }),
      results_watch_(loop, connection_.results.get(), [this](int) { read_reports(batch); }),
      retry_(loop,
             [this] {
               flush();
               return false;
             }),
      servers_(loop, deaths_, *this),
      orphans_retry_(loop, [this] { return !adopt_orphans(); }) {
  sys::set_nonblocking(connection_.results.get(), true);
  results_watch_.background();
  results_watch_.watch(fd_watch::readable);
  supervisor_of_process = this;
}

supervisor::~supervisor() {
  end_unanswered();
  supervisor_of_process = nullptr;
}

/// Requests that were withdrawn and that a server has kept without an answer: it is stopped, or hangs. A child that it has
/// made all the same would have no parent that waits for it.
void supervisor::end_unanswered() noexcept {
  if (in_flight_.empty()) return;
  servers_.end_silent_ones();
  for (const auto& [id, request] : std::exchange(in_flight_, {})) {
    const pid_t made = connection_.table.pid(request.target->slot);
    if (made > 0) {
      sys::kill(made, SIGKILL);  // ours and not reaped, so the number is its own
      sys::await_and_reap(made, -1);
    }
    if (request.target->in_memory) family_memory::on_death(request.target->in_memory);
  }
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
    if (child->pid != 0 && !child->status) result.push_back(child);
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
  return result;
}

namespace {

/// Waits for its end as long as it may take after SIGTERM.
task<bool> ends_in_time(std::shared_ptr<child> child) {
  try {
    co_await with_timeout(grace_period, child->ended.wait());
  } catch (const timed_out&) {
    co_return false;
  }
  co_return true;
}

/// For a child that nobody wants any more. A server that is stopped is not waited for: if it makes the child after all,
/// that is killed and reaped then.
task<> await_end_of_unwanted(std::shared_ptr<child> child) {
  const bool ended = co_await ends_in_time(child);
  if (!ended && child->pid != 0) co_await child->ended.wait();
}

}  // namespace

task<> supervisor::end_children(bool all) {
  std::vector<task<>> ends;
  for (const auto& [id, child] : children_) {
    if (child->detached || child->status || (child->unwanted && child->pid == 0)) continue;
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
  const bool ended = co_await ends_in_time(child);
  if (ended) co_return;
  if (child->pid == 0) {  // its server does not answer: it is killed if it is made after all
    child->unwanted = true;
    co_return;
  }
  kill_or_give_up(*child);
  co_await child->ended.wait();
}

void kill_or_give_up(child& child) {
  if (child.status) return;
  const int error = child.kill_tree();
  if (error != EPERM) return;
  log_error("{} ({}) may not be signalled by this process, and is no longer waited for", child.name,
            child.pid);
  child.failure = std::make_exception_ptr(std::system_error(
      error, std::system_category(), fmt::format("brood: cannot end {} ({}): kill", child.name, child.pid)));
  child.status.emplace();  // unknown
  child.status->known = false;
  child.status->exitcode = 255;
  child.status->deadline_passed = child.deadline_passed;
  child.launched.set();
  child.ended.set();
}

// --- launching ---

task<std::shared_ptr<child>> supervisor::launch(launch_plan plan, launch_target target) {
  require_valid(plan, target);
  const sys::standing& now = servers_.note_standing();
  auto child = make_child(plan, target);
  try {
    outgoing_request request = make_request(child, std::move(plan), std::move(target), now);
    children_.emplace(child->id, child);
    unsent_.emplace(child->id, std::move(request));
  } catch (...) {
    children_.erase(child->id);
    give_back_places(*child);
    throw;
  }
  try {
    flush();
  } catch (...) {
    withdraw(*child);
    throw;
  }
  bool stopped = false;
  try {
    co_await child->launched.wait();
  } catch (const cancelled&) {
    stopped = true;
  }
  if (stopped) {
    withdraw(*child);
    task_scope uncancelled;
    auto end = await_end_of_unwanted(child);
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
  if (child.pidfd) kill_or_give_up(child);
  if (const auto unsent = unsent_.extract(child.id)) forget(child);
}

std::shared_ptr<child> supervisor::make_child(const launch_plan& plan, const launch_target& target) {
  family& self = family::get();
  auto made = std::make_shared<child>();
  made->id = ++self.last_id;
  made->kind = target.kind;
  made->name = plan.options.name;
  if (made->name.empty()) {
    made->name =
        target.command.empty() ? fmt::format("process-{}", ++self.last_name) : target.command.front();
  }
  made->daemon = plan.options.daemon.value_or(self.daemon);
  made->detached = plan.options.detached;
  made->confirm = target.kind != launch_kind::program && can_fail_in_child(plan);
  made->relayed = !connection_.siblings;
  made->time_limit = plan.deadline;
  take_places(*made);
  return made;
}

/// In the spawn table and in the family's memory: both or none.
void supervisor::take_places(child& child) {
  child.slot = take_slot();
  if (child.kind == launch_kind::program) return;
  try {
    child.in_memory = family_memory::reserve_slot();
  } catch (...) {
    free_slots_.push_back(child.slot);
    throw;
  }
}

std::uint32_t supervisor::take_slot() {
  if (!free_slots_.empty()) {
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    return slot;
  }
  if (slots_used_ == spawn_table::slots) sys::throw_errno("brood: too many children", EAGAIN);
  // Room for all, so that to give one back takes no memory.
  if (free_slots_.capacity() <= slots_used_) free_slots_.reserve(std::max<std::size_t>(16, 2 * slots_used_));
  connection_.table.note_used(slots_used_ + 1);
  return slots_used_++;
}

outgoing_request supervisor::make_request(const std::shared_ptr<child>& child, launch_plan plan,
                                          launch_target target, const sys::standing& now) {
  connection_.table.clear(child->slot);
  connection_.table[child->slot].detached = child->detached ? 1 : 0;
  child->argument_objects = std::move(target.objects);
  return outgoing_request(child, std::move(plan), std::move(target), now);
}

void supervisor::give_back_places(const child& child) {
  connection_.table.clear(child.slot);
  free_slots_.push_back(child.slot);
  if (child.in_memory) end_in_memory(child.in_memory);
}

void supervisor::flush() {
  if (!unsent_.empty()) servers_.begin();
  while (!unsent_.empty()) {
    outgoing_request& next = unsent_.begin()->second;
    if (!servers_.can_serve(next)) {
      fail_first_unsent(std::make_exception_ptr(
          error(fmt::format("brood: cannot start {}: this process's credentials or its place in the system "
                            "have changed since it was asked "
                            "for, and the fork server that could have started it has died",
                            next.target->name))));
      continue;
    }
    if (!servers_.serves(next)) break;
    const auto sent = send_first_unsent();
    if (sent == sys::transfer::would_block) break;
    if (sent == sys::transfer::too_many_in_flight) return retry_.start();
  }
  servers_.await_room(!unsent_.empty() && servers_.serves(unsent_.begin()->second));
}

sys::transfer supervisor::send_first_unsent() {
  try {
    const auto sent = servers_.send(unsent_.begin()->second);
    if (sent == sys::transfer::done) in_flight_.insert(unsent_.extract(unsent_.begin()));
    return sent;
  } catch (const std::system_error&) {
    fail_first_unsent(std::current_exception());
    return sys::transfer::gone;  // the next one may be luckier
  }
}

void supervisor::fail_first_unsent(const std::exception_ptr& why) {
  const auto failed = unsent_.extract(unsent_.begin());
  fail_launch(*failed.mapped().target, why);
}

void supervisor::read_replies(pid_t server) {
  for (int i = 0; i < reply_batch; ++i) {
    sys::received message;
    if (servers_.receive(server, reply_buffer_, message) != sys::transfer::done) return;
    hear(server, std::span(reply_buffer_).first(message.size), std::move(message.fds));
  }
}

void supervisor::hear(pid_t server, std::span<const std::byte> message, std::vector<unique_fd> fds) {
  const auto* replies = reinterpret_cast<const launch_reply*>(message.data());
  if (replies->kind == launch_reply::what::heir)
    return servers_.accept_heir(server, replies->pid, std::move(fds));
  if (replies->kind == launch_reply::what::hello) return servers_.hear_hello(server, message);
  auto pidfd = fds.begin();
  for (const launch_reply& reply : std::span(replies, message.size() / sizeof(launch_reply))) {
    const bool arrived = reply.has_pidfd && pidfd != fds.end();
    handle_reply(reply, arrived ? std::move(*pidfd++) : unique_fd());
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
  if (const auto answered = in_flight_.extract(reply.id)) {
    child->relayed = !reply.siblings && reply.pid > 0;
    child->server = answered.mapped().server;
    servers_.note_reply(answered.mapped(), child->relayed);
  }
  if (reply.failed != stage::none) child->failure = launch_error(*child, reply.failed, reply.error);
  if (reply.pid <= 0) return fail_launch(*child, child->failure);
  if (!pidfd) pidfd = sys::open_process(reply.pid);  // it could not travel; nobody has reaped the child
  if (!pidfd && child->relayed && errno == ESRCH) {  // but its server, which tells next how it ended
    child->pid = reply.pid;
    note_start(*child);
    if (!child->confirm && !child->failure) child->launched.set();
    return;
  }
  if (!pidfd && !child->failure) fail_for_want_of_descriptor(*child, reply.pid);
  launched(*child, reply.pid, std::move(pidfd));
}

void supervisor::launched(child& child, pid_t pid, unique_fd pidfd) {
  child.pid = pid;
  child.pidfd = std::move(pidfd);
  if (child.in_memory) family_memory::note_pid(child.in_memory, pid);
  note_start(child);
  if (!child.pidfd) return launched_without_descriptor(child);
  if (!child.relayed && !deaths_.add(child.pidfd.get(), mortal_of(child))) {
    child.failure = launch_error(child, stage::receive_descriptors, errno);
    child.send_signal(SIGKILL);
    child.pidfd.reset();
    return launched_without_descriptor(child);
  }
  if (child.failure) return;  // a program that could not be executed: told when it has been reaped
  if (child.unwanted) return kill_or_give_up(child);
  if (child.time_limit && !child.status) child.deadline.start(time_after(*child.time_limit), child);
  if (!child.confirm) child.launched.set();
}

/// It has been killed and is dying.
void supervisor::launched_without_descriptor(child& child) {
  child.orphaned = std::exchange(child.relayed, false);  // then its status is the server's to know
  deaths_.add_without_descriptor(child.pid, mortal_of(child));
}

void supervisor::note_start(child& child) {
  if (child.launched_at != clock::time_point()) return;
  child.launched_at = clock::now();
  tell_of_start(child);
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
  trace->stretch(
      child.pid, child.name, child.launched_at, clock::now(),
      fmt::format(R"("end":"{}","user_us":{},"system_us":{},"peak_bytes":{})", describe(*child.status),
                  used.user_time.count(), used.system_time.count(), used.peak_memory));
}

void supervisor::forget(child& child) {
  const std::shared_ptr<detail::child> kept = children_.at(child.id);
  in_flight_.erase(child.id);
  children_.erase(child.id);
  child.argument_objects.clear();
  give_back_places(child);
  child.launched.set();
  child.ended.set();
}

/// Gives back what a process held in the family's memory.
void supervisor::end_in_memory(process_id id) {
  family_memory::on_death(id);
  if (family_memory::next_orphan() && !adopt_orphans()) orphans_retry_.start();
}

/// Children of dead processes. What one holds is given back when it is dead, not before: it could still be at it.
/// Those that cannot be watched now, for want of memory, stay where they are.
bool supervisor::adopt_orphans() noexcept {
  while (const auto left = family_memory::next_orphan()) {
    if (left->ended || left->pid == 0) {
      family_memory::on_death(left->id);
    } else if (!await_orphan(*left)) {
      return false;
    }
  }
  return true;
}

bool supervisor::await_orphan(const orphan& left) noexcept {
  const mortal who{mortal::kind::orphan, number_of(left.id)};
  unique_fd pidfd = sys::open_process(left.pid);
  if (!pidfd && errno == ESRCH) {
    family_memory::on_death(left.id);
    return true;
  }
  try {
    watched_orphan& kept = orphans_[who.number] = {left.pid, std::move(pidfd)};
    if (!kept.pidfd || !deaths_.add(kept.pidfd.get(), who)) {
      kept.pidfd.reset();
      deaths_.add_without_descriptor(left.pid, who);
    }
  } catch (const std::bad_alloc&) {
    orphans_.erase(who.number);
    return false;
  }
  family_memory::watch_orphan(left.id);
  return true;
}

void supervisor::bury_orphan(std::uint64_t number) {
  const auto buried = orphans_.extract(number);
  if (!buried) return;
  if (const unique_fd& pidfd = buried.mapped().pidfd) deaths_.remove(pidfd.get());
  deaths_.remove_without_descriptor({mortal::kind::orphan, number});
  const orphan now{id_of(number), family_memory::pid_of(id_of(number)), false};
  // A fork server had announced that it makes this process, and has ended since.
  if (now.pid != buried.mapped().pid && await_orphan(now)) return;
  end_in_memory(now.id);
}

// --- reports ---

void supervisor::read_reports(int most) {
  for (int i = 0; i < most; ++i) {
    sys::received message;
    if (sys::receive_message(connection_.results.get(), report_buffer_, message) != sys::transfer::done)
      return;
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
    try {
      child.report_body.assign(body.begin(), body.end());
    } catch (const std::bad_alloc&) {
      child.failure = std::current_exception();
      return;
    }
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
    try {
      child.result_objects.emplace_back(object.name, object.kind);
    } catch (const std::exception&) {  // the arena is full, or there is no memory
      if (!child.failure) child.failure = std::current_exception();
      return;
    }
  }
  child.report_begin = count * sizeof(object_in_result);
}

void supervisor::receive_large_report(child& child, const std::vector<unique_fd>& fds) {
  try {
    if (fds.empty()) sys::throw_errno("its descriptor", EMFILE);  // this process is at its limit
    child.large_report = sys::map_whole(fds.front().get());
  } catch (const std::system_error& e) {
    child.failure = std::make_exception_ptr(
        std::system_error(e.code(), fmt::format("brood: cannot receive the result of {}", child.name)));
  }
}

// --- ends ---

void supervisor::on_deaths(std::span<const mortal> dead) {
  // A child reports before it ends, so the reports of all of these have come.
  read_reports(std::numeric_limits<int>::max());
  for (const mortal& who : dead) {
    switch (who.what) {
      case mortal::kind::child:
        reap(who.number);
        break;
      case mortal::kind::orphan:
        bury_orphan(who.number);
        break;
      case mortal::kind::server:
        servers_.on_death(static_cast<pid_t>(who.number));
        break;
    }
  }
}

void supervisor::reap(std::uint64_t id) {
  const auto found = children_.find(id);
  if (found == children_.end()) return;
  const std::shared_ptr<child> child = found->second;
  // Before it is reaped: from then on its pid may become somebody else's.
  connection_.table.release_pid(child->slot);
  auto ending = child->pidfd ? sys::reap(child->pidfd.get()) : sys::reap_by_number(child->pid);
  if (!ending && child->orphaned) ending.emplace();  // its new parent may never reap it: nobody will know
  if (ending) finish(*child, *ending);
}

void supervisor::finish(child& child, const sys::ending& ending) {
  const spawn_slot& slot = connection_.table[child.slot];
  if (!child.failure && slot.failed != stage::none)
    child.failure = launch_error(child, slot.failed, slot.error);
  child.deadline.stop();
  if (child.pidfd && !child.relayed) deaths_.remove(child.pidfd.get());
  deaths_.remove_without_descriptor(mortal_of(child));
  child.pidfd.reset();
  if (child.relayed) servers_.note_end(child.server);
  if (child.status) return forget(child);  // given up before
  child.status = status_of(ending, child.deadline_passed);
  if (child.confirm && !child.failure && !child.unwanted) {
    child.failure = std::make_exception_ptr(child_died(child.name, child.pid, *child.status));
  }
  tell_of_end(child);
  forget(child);
}

// --- the fork server's ---

void supervisor::on_server_ready(pid_t server) {
  read_replies(server);
  flush();
}

void supervisor::on_server_death(pid_t server) {
  recover_in_flight(server);
  take_over_relayed(server);
}

void supervisor::on_no_server(const std::exception_ptr& why) {
  for (const auto& [id, request] : std::exchange(unsent_, {})) fail_launch(*request.target, why);
}

/// The kernel writes a child's pid to its slot while it makes it, so the table says which requests were carried out:
/// those children are ours to take over, the others are asked for again, in their order.
void supervisor::recover_in_flight(pid_t server) {
  std::map<std::uint64_t, outgoing_request> lost;  // nodes move without an allocation
  for (auto next = in_flight_.begin(); next != in_flight_.end();) {
    const auto asked = next++;
    if (asked->second.server == server) lost.insert(in_flight_.extract(asked));
  }
  while (!lost.empty()) {
    auto request = lost.extract(lost.begin());
    const std::shared_ptr<child> target = request.mapped().target;
    child& made = *target;
    const pid_t pid = connection_.table.pid(made.slot);
    if (pid == 0) {
      unsent_.insert(std::move(request));
      continue;
    }
    unique_fd pidfd = sys::open_process(pid);
    if (!pidfd && errno == ESRCH) {
      finish(made, sys::ending());
      continue;
    }
    if (!pidfd) fail_for_want_of_descriptor(made, pid);
    launched(made, pid, std::move(pidfd));
  }
}

/// Relayed children die with their server, their parent. Nobody is left to tell how, except perhaps the kernel.
void supervisor::take_over_relayed(pid_t server) {
  for (auto& [id, child] : children_) {
    if (!child->pidfd || child->server != server || !std::exchange(child->relayed, false))
      continue;  // not those that are asked for again
    child->orphaned = true;
    if (deaths_.add(child->pidfd.get(), mortal_of(*child))) continue;
    child->pidfd.reset();
    deaths_.add_without_descriptor(child->pid, mortal_of(*child));
  }
}

}  // namespace brood::detail
