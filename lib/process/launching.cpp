// The supervisor from a request to a child that runs.
#include "process/supervisor.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>

#include "brood/arena/family_memory.hpp"
#include "runtime/log.hpp"
#include "runtime/trace_file.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"
#include "system/pidfd.hpp"
#include "system/socket.hpp"

namespace brood::detail {
namespace {

// Messages of one server that a turn of the loop handles; they hold up to `most_replies` each.
constexpr int reply_batch = 64 / static_cast<int>(most_replies);

}  // namespace

std::exception_ptr launch_error(const child& child, stage at, int error) noexcept {
  try {
    return std::make_exception_ptr(std::system_error(
        error, std::system_category(), fmt::format("brood: cannot start {}: {}", child.name, name_of(at))));
  } catch (const std::bad_alloc&) {
    return std::current_exception();
  }
}

void fail_for_want_of_descriptor(child& child, pid_t pid) {
  child.failure = launch_error(child, stage::receive_descriptors, EMFILE);
  sys::kill(pid, SIGKILL);  // ours and not reaped, so the pid is its own
}

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
    if (flush()) retry_.start();
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
  made->name = plan.name;
  if (made->name.empty()) {
    made->name =
        target.command.empty() ? fmt::format("process-{}", ++self.last_name) : target.command.front();
  }
  made->daemon = plan.daemon.value_or(self.daemon);
  made->detached = plan.options.detached;
  made->confirm = target.kind != launch_kind::program && can_fail_in_child(plan);
  made->relayed = !connection_.siblings;
  made->time_limit = plan.deadline;
  made->stop_limit = plan.stop_limit.value_or(default_stop_limit);
  made->stop_signal = plan.stop_signal;
  for (const auto& [limited, value] : plan.options.limits) {
    if (value == RLIM_INFINITY) continue;
    if (limited == resource::cpu_time) made->cpu_limit = std::chrono::seconds(value);
    if (limited == resource::file_size) made->file_limit = true;
  }
  made->pinned = plan.pinned;
  made->left_policy = plan.leftovers.value_or(made->detached ? leftovers::allow : leftovers::report);
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
  const bool dies_with_us = !child->detached && plan.options.death_signal == SIGKILL;
  connection_.table[child->slot].detached = dies_with_us ? 0 : 1;
  child->argument_objects = std::move(target.objects);
  return outgoing_request(child, std::move(plan), std::move(target), now);
}

void supervisor::give_back_places(const child& child) {
  connection_.table.clear(child.slot);
  free_slots_.push_back(child.slot);
  if (child.in_memory) orphans_.end_in_memory(child.in_memory);
}

bool supervisor::flush() {
  bool again = false;
  if (has_requests()) servers_.begin();
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
    again = sent == sys::transfer::too_many_in_flight;
    if (again) break;
  }
  servers_.await_room(!again && !unsent_.empty() && servers_.serves(unsent_.begin()->second));
  return again;
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
  if (child.time_limit && !child.status)
    child.deadline.start(time_after(*child.time_limit), child, &child::deadline_passed);
  if (child.asked) child.overran ? kill_or_give_up(child) : void(child.send_request());
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
}  // namespace brood::detail
