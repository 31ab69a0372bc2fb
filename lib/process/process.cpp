#include "brood/process/process.hpp"

#include <fmt/core.h>

#include <csignal>
#include <stdexcept>

#include "brood/coroutine/detail/forked.hpp"
#include "brood/coroutine/detail/task_group.hpp"
#include "brood/process/spawn.hpp"
#include "process/supervisor.hpp"
#include "system/error.hpp"

namespace brood {
namespace {

bool ends_a_process(int signal) {
  return signal != 0 && signal != SIGCONT && signal != SIGSTOP && signal != SIGCHLD;
}

void require_sent(int error, const detail::child& child) {
  if (error == 0) return;
  sys::throw_errno(fmt::format("brood: cannot send a signal to {} ({})", child.name, child.pid), error);
}

}  // namespace

pid_t process_handle::pid() const noexcept { return child_->pid; }
const std::string& process_handle::name() const noexcept { return child_->name; }
bool process_handle::daemon() const noexcept { return child_->daemon; }
bool process_handle::is_alive() const noexcept { return !child_->status; }

std::optional<int> process_handle::exitcode() const noexcept {
  return child_->status ? std::optional(child_->status->exitcode) : std::nullopt;
}

task<exit_status> process_handle::join() const {
  return [](std::shared_ptr<detail::child> child) -> task<exit_status> {
    co_await child->ended.wait();
    co_return *child->status;
  }(child_);
}

task<exit_status> process_handle::stop() const { return stop_until(child_->stop_limit); }

task<exit_status> process_handle::stop_until(std::chrono::nanoseconds limit) const {
  return [](process_handle self, std::chrono::nanoseconds most) -> task<exit_status> {
    if (detail::forked) throw forked_process();
    detail::child& child = *self.child_;
    require_sent(child.asked ? child.kill_tree() : child.ask_to_stop(most), child);
    co_await child.ended.wait();
    co_return *child.status;
  }(*this, limit);
}

void process_handle::terminate() const { send_signal(SIGTERM); }
void process_handle::kill() const { send_signal(SIGKILL); }
void process_handle::interrupt() const { send_signal(SIGINT); }

void process_handle::send_signal(int signal) const {
  if (detail::forked) throw forked_process();
  if (ends_a_process(signal)) child_->signalled = true;
  require_sent(child_->send_signal(signal), *child_);
}

void process_handle::kill_tree() const {
  if (detail::forked) throw forked_process();
  child_->signalled = true;
  require_sent(child_->kill_tree(), *child_);
}

std::string process_handle::last_words() const { return detail::last_words_of(*child_); }
std::string process_handle::stack() const {
  return child_->crash ? detail::describe_crash(*child_->crash, child_->as_here()) : std::string();
}

writer& process_handle::stdin_() const noexcept { return child_->input; }
reader& process_handle::stdout_() const noexcept { return child_->outputs[0]; }
reader& process_handle::stderr_() const noexcept { return child_->outputs[1]; }

namespace detail {

void kill_or_give_up(const process_handle& handle) {
  handle.child_->signalled = true;
  kill_or_give_up(*handle.child_);
}

std::shared_ptr<const crash_record> crash_of(const process_handle& ended) noexcept {
  return ended.child_->crash;
}

void ask_task(const process_handle& worker) noexcept { worker.child_->send_request(); }

void throw_narrowed() {
  throw std::out_of_range("brood::spawn: an integer argument does not fit into the function's parameter");
}

task<std::span<const std::byte>> result_bytes(const std::shared_ptr<child>& self) {
  const std::shared_ptr<child> kept = self;
  co_await kept->ended.wait();
  kept->throw_if_failed();
  co_return kept->reported();
}

task<std::shared_ptr<child>> launch_function(launch_plan plan, function_call call) {
  const options& settings = family::get().settings;
  const start_method usual =
      settings.model == process_model::exec ? start_method::exec : start_method::fork_server;
  launch_target target;
  target.kind =
      plan.method.value_or(usual) == start_method::exec ? launch_kind::exec_function : launch_kind::function;
  target.function = call.function;
  target.arguments = std::move(call.arguments);
  target.objects = std::move(call.objects);
  return supervisor::current().launch(std::move(plan), std::move(target));
}

namespace {

task<> end_with_scope(std::shared_ptr<child> child) {
  bool stopped = false;
  try {
    co_await child->ended.wait();
  } catch (const cancelled&) {
    stopped = true;
  }
  if (stopped) {
    task_scope uncancelled;
    auto end = end_child(child);
    end.set_scope(uncancelled);
    co_await std::move(end);
    throw cancelled();
  }
  if (!child->signalled) child->throw_if_failed();
}

}  // namespace

void keep_within(nursery& scope, std::shared_ptr<child> child) {
  try {
    scope.start(end_with_scope(child));
  } catch (...) {
    kill_or_give_up(*child);
    throw;
  }
}

}  // namespace detail
}  // namespace brood
