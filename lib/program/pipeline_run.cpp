// Starting: pipes first, then the leader of the process group, then the other processes at once, then the coroutines. The
// leader stays a zombie until all have ended (`child::pinned`): so the number of the group is nobody else's, neither when a
// stage joins it nor when it is killed.
#include "program/pipeline_run.hpp"

#include <fcntl.h>

#include <algorithm>
#include <csignal>
#include <stdexcept>
#include <utility>

#include "brood/coroutine/when_all.hpp"
#include "process/supervisor.hpp"
#include "system/calls.hpp"
#include "system/error.hpp"

namespace brood::detail {
namespace {

std::pair<unique_fd, unique_fd> make_pipe() {
  int ends[2];
  if (sys::pipe2(ends, O_CLOEXEC) != 0) sys::throw_errno("brood: cannot start a pipeline: pipe2");
  return {unique_fd(ends[0]), unique_fd(ends[1])};
}

bool is_piped(const std::optional<stdio>& stream) { return stream && stream->what() == stdio::kind::pipe; }

/// A coroutine that was asked to stop ended as a process does.
exit_status terminated() {
  exit_status status;
  status.signal = SIGTERM;
  status.exitcode = -SIGTERM;
  return status;
}

task<std::shared_ptr<child>> launch_command(launch_plan plan, program_call call) {
  launch_target target;
  target.kind = launch_kind::program;
  target.command = std::move(call.words);
  return supervisor::current().launch(std::move(plan), std::move(target));
}

}  // namespace

pipeline_run::pipeline_run(pipeline what, bool scoped)
    : plan_(std::move(what)), scoped_(scoped), stages_(plan_.stages_.size()) {}

/// The first command's own, if nothing was said of the whole.
void pipeline_run::adopt_input(pipeline& what) {
  auto* first = std::get_if<command>(&what.stages_.front());
  if (first == nullptr || what.input_) return;
  program_call& call = command_access::call(*first);
  if (call.has_input) what.input_ = std::move(call.input);
}

pipeline pipeline_run::with_outputs(pipeline what) {
  adopt_input(what);
  auto& streams = what.streams_;
  if (!streams[0] && !what.input_) streams[0] = null;
  if (!streams[1]) streams[1] = piped;
  if (!streams[2]) streams[2] = piped;
  return what;
}

void pipeline_run::require_no_outputs(const pipeline& what) {
  if (is_piped(what.streams_[1]) || is_piped(what.streams_[2]))
    throw std::logic_error("brood: nobody would read what this pipeline writes; use output() or spawn()");
}

std::string pipeline_run::take_input() { return plan_.input_ ? std::move(*plan_.input_) : std::string(); }

task<std::shared_ptr<pipeline_run>> pipeline_run::start(pipeline what, bool scoped) {
  auto run = std::make_shared<pipeline_run>(std::move(what), scoped);
  run->make_pipes();
  std::exception_ptr failure;
  try {
    co_await launch_all(run);
  } catch (...) {
    failure = std::current_exception();
  }
  for (stage& each : run->stages_) {
    if (!each.process) continue;
    each.in.reset();
    each.out.reset();
  }
  run->errors_end_.reset();
  if (failure) {
    run->kill();
  } else {
    run->start_coroutines();
  }
  runtime::current().start(conduct(run));
  if (failure) {
    task_scope uncancelled;
    auto end = end_all(run);
    end.set_scope(uncancelled);
    co_await std::move(end);
    std::rethrow_exception(failure);
  }
  co_return run;
}

void pipeline_run::make_pipes() {
  for (std::size_t i = 1; i < stages_.size(); ++i) std::tie(stages_[i].in, stages_[i - 1].out) = make_pipe();
  lead_out();
}

/// The ends of the whole that lead to this process.
void pipeline_run::lead_out() {
  adopt_input(plan_);
  auto& streams = plan_.streams_;
  if (plan_.input_ && !streams[0]) streams[0] = piped;
  const bool leads_elsewhere =
      (is_coroutine(0) && streams[0] && !is_piped(streams[0]) && streams[0]->what() != stdio::kind::null) ||
      (is_coroutine(stages_.size() - 1) && streams[1] && !is_piped(streams[1]));
  if (leads_elsewhere)
    throw std::invalid_argument(
        "brood: a coroutine at the end of a pipeline has `piped` for its stream, or none");
  if (is_piped(streams[0])) {
    auto [in, out] = make_pipe();
    stages_.front().in = std::move(in);
    input = writer(std::move(out));
  }
  if (is_piped(streams[1])) {
    auto [in, out] = make_pipe();
    output = reader(std::move(in));
    stages_.back().out = std::move(out);
  }
  if (is_piped(streams[2])) {
    auto [in, out] = make_pipe();
    errors = reader(std::move(in));
    errors_end_ = std::move(out);
  }
}

/// What the stage itself has set wins.
launch_plan pipeline_run::plan_of(std::size_t i) {
  auto* program = std::get_if<command>(&plan_.stages_[i]);
  launch_plan plan =
      program != nullptr ? command_access::plan(*program) : std::get<function_stage>(plan_.stages_[i]).plan_;
  const stage& self = stages_[i];
  if (!plan.streams[0]) {
    if (self.in) plan.streams[0] = stdio(self.in.get());
    if (!self.in && i == 0) plan.streams[0] = plan_.streams_[0];
  }
  if (!plan.streams[1]) {
    if (self.out) plan.streams[1] = stdio(self.out.get());
    if (!self.out && i + 1 == stages_.size()) plan.streams[1] = plan_.streams_[1];
  }
  if (!plan.streams[2]) plan.streams[2] = errors_end_ ? stdio(errors_end_.get()) : plan_.streams_[2];
  if (!plan.deadline) plan.deadline = plan_.deadline_;
  return plan;
}

task<> pipeline_run::launch(std::shared_ptr<pipeline_run> run, std::size_t i, int group) {
  launch_plan plan = run->plan_of(i);
  plan.group = group;
  plan.pinned = group == 0;
  if (auto* program = std::get_if<command>(&run->plan_.stages_[i])) {
    run->stages_[i].process = co_await launch_command(std::move(plan), command_access::call(*program));
  } else {
    auto call = (*std::get<function_stage>(run->plan_.stages_[i]).make_)();
    run->stages_[i].process = co_await launch_function(std::move(plan), std::move(call));
  }
}

task<> pipeline_run::launch_all(std::shared_ptr<pipeline_run> run) {
  std::size_t first = 0;
  while (first < run->stages_.size() && run->is_coroutine(first)) ++first;
  if (first == run->stages_.size()) co_return;
  co_await launch(run, first, 0);
  run->leader_ = run->stages_[first].process;
  // This process's own, if the leader reads the terminal.
  const pid_t group = sys::getpgid(run->leader_->pid);
  std::vector<task<>> others;
  for (std::size_t i = first + 1; i < run->stages_.size(); ++i) {
    if (!run->is_coroutine(i)) others.push_back(launch(run, i, group > 0 ? group : run->leader_->pid));
  }
  co_await when_all(std::move(others));
}

void pipeline_run::start_coroutines() {
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    if (!is_coroutine(i)) continue;
    stage& self = stages_[i];
    coroutines_.start(run_coroutine(shared_from_this(), i, self.in ? reader(std::move(self.in)) : reader(),
                                    self.out ? writer(std::move(self.out)) : writer()));
  }
}

task<> pipeline_run::run_coroutine(std::shared_ptr<pipeline_run> run, std::size_t i, reader in, writer out) {
  try {
    co_await std::get<stage_function>(run->plan_.stages_[i])(in, out);
  } catch (const cancelled&) {
    run->stages_[i].status = terminated();
  } catch (const closed&) {
    // As with SIGPIPE, nobody wants more; there is nobody behind the last one.
    if (i + 1 == run->stages_.size()) run->fail(std::current_exception());
  } catch (...) {
    run->fail(std::current_exception());
  }
  in.close();
  out.close();
}

task<> pipeline_run::conduct(std::shared_ptr<pipeline_run> run) {
  try {
    co_await run->coroutines_.join();
    for (stage& each : run->stages_) {
      if (!each.process) continue;
      co_await each.process->ended.wait();
      if (each.process->failure && !run->failure_) run->failure_ = each.process->failure;
      if (each.process->status) each.status = *each.process->status;
    }
  } catch (const cancelled&) {
    // The runtime ends, and with it what is left: processes are the supervisor's to wait for.
    if (!run->failure_) run->failure_ = std::current_exception();
  }
  run->share_deadline();
  if (run->leader_) {
    if (run->scoped_) run->kill_what_is_left();
    run->leader_->unpin();
  }
  run->ended.set();
}

/// The tree of the one whose deadline came first was that of others as well.
void pipeline_run::share_deadline() noexcept {
  const auto passed = [](const stage& each) { return each.status.deadline_passed; };
  if (std::none_of(stages_.begin(), stages_.end(), passed)) return;
  for (stage& each : stages_) each.status.deadline_passed = each.status.signal == SIGKILL;
}

/// Of a group that is kept for us, and not of that of this process.
void pipeline_run::kill_what_is_left() const noexcept {
  if (leader_->zombie && sys::getpgid(leader_->pid) == leader_->pid) sys::kill(-leader_->pid, SIGKILL);
}

pipeline_status pipeline_run::result() const {
  if (failure_) std::rethrow_exception(failure_);
  pipeline_status result;
  for (const stage& each : stages_) result.stages.push_back(each.status);
  result.pipefail = plan_.pipefail_;
  return result;
}

task<pipeline_status> pipeline_run::run_to_end(std::shared_ptr<pipeline_run> run) {
  bool stopped = false;
  try {
    co_await run->ended.wait();
  } catch (const cancelled&) {
    stopped = true;
  }
  if (stopped) {
    task_scope uncancelled;
    auto end = end_all(run);
    end.set_scope(uncancelled);
    co_await std::move(end);
    throw cancelled();
  }
  co_return run->result();
}

/// SIGTERM and a grace period for those that run; returns when all have ended.
task<> pipeline_run::end_all(std::shared_ptr<pipeline_run> run) {
  run->coroutines_.cancel();
  std::vector<task<>> ends;
  for (const stage& each : run->stages_) {
    if (each.process && !each.process->status) ends.push_back(end_child(each.process));
  }
  co_await when_all(std::move(ends));
  co_await run->ended.wait();
}

void pipeline_run::fail(std::exception_ptr why) noexcept {
  if (!failure_) failure_ = std::move(why);
  kill();
}

void pipeline_run::terminate() noexcept {
  coroutines_.cancel();
  for (const stage& each : stages_) {
    if (!each.process) continue;
    each.process->signalled = true;
    each.process->send_signal(SIGTERM);
  }
}

void pipeline_run::kill() noexcept {
  coroutines_.cancel();
  for (const stage& each : stages_) {
    if (!each.process) continue;
    each.process->signalled = true;
    kill_or_give_up(*each.process);
  }
}

std::vector<process_handle> pipeline_run::processes() const {
  std::vector<process_handle> result;
  for (const stage& each : stages_) {
    if (each.process) result.push_back(supervisor::handle_of(each.process));
  }
  return result;
}

}  // namespace brood::detail
