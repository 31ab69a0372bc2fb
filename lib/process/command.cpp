#include "brood/process/command.hpp"

#include <limits>
#include <stdexcept>
#include <utility>

#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/coroutine/with_timeout.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "process/supervisor.hpp"

namespace brood {
namespace {

using detail::child;
using detail::program_call;

task<std::shared_ptr<child>> launch_program(detail::launch_plan plan, std::vector<std::string> words) {
  detail::launch_target target;
  target.kind = detail::launch_kind::program;
  target.command = std::move(words);
  return detail::supervisor::current().launch(std::move(plan), std::move(target));
}

/// Kills a program that nobody would wait for any more, and what it has left, as an error or a cancellation came first.
class kill_on_error {
 public:
  explicit kill_on_error(child& running) noexcept : running_(&running) {}
  ~kill_on_error() {
    if (running_ == nullptr) return;
    detail::kill_or_give_up(*running_);
    if (running_->left) running_->kill_leftovers();
  }
  kill_on_error(const kill_on_error&) = delete;
  kill_on_error& operator=(const kill_on_error&) = delete;
  void release() noexcept { running_ = nullptr; }

 private:
  child* running_;
};

/// Waits for the end; ends the program if cancelled.
task<exit_status> run_to_end(std::shared_ptr<child> running) {
  bool stopped = false;
  try {
    co_await running->ended.wait();
  } catch (const cancelled&) {
    stopped = true;
  }
  if (stopped) {
    detail::task_scope uncancelled;
    auto end = detail::end_child(running);
    end.set_scope(uncancelled);
    co_await std::move(end);
    throw cancelled();
  }
  // Known only now if the fork server died while it started the program.
  if (running->failure) std::rethrow_exception(running->failure);
  co_return *running->status;
}

/// What is written to and read from a program while it runs, and for a while longer.
struct traffic {
  std::shared_ptr<child> running;
  int reading = 2;  // outputs that have not come to their end
  detail::local_event all_read;
  bool leaked = false;

  void note_end_of_output() noexcept {
    if (--reading == 0) all_read.set();
  }
};

task<> feed(writer to, std::string bytes) {
  if (!to) co_return;
  try {
    co_await to.write(std::move(bytes));
  } catch (const closed&) {
    // The program ended, or closed its input, without reading all of it: its own affair, as in a shell.
  }
  to.close();
}

/// Everything to the end of the stream, or until somebody closes it.
task<std::string> collect(traffic& all, reader from, std::size_t most) {
  std::string text;
  bool cut = false;
  try {
    if (from) text = co_await from.read_all(most);
  } catch (const std::length_error&) {
    detail::kill_or_give_up(*all.running);
    if (all.running->left) all.running->kill_leftovers();
    throw std::length_error(all.running->name + " wrote more than its limit");
  } catch (const closed&) {
    cut = true;
  }
  try {
    if (cut) text = co_await from.read(std::numeric_limits<std::size_t>::max());
  } catch (const closed&) {
    // There was nothing yet.
  }
  all.note_end_of_output();
  co_return text;
}

/// When the program has ended and others hold its outputs: waits for those so long, and closes them.
task<exit_status> drain(traffic& all, std::chrono::nanoseconds patience) {
  child& ended = *all.running;
  const exit_status status = co_await run_to_end(all.running);
  if (all.reading > 0) {
    auto until = detail::time_after(patience);
    const auto deadline = ended.time_limit ? detail::time_after(ended.launched_at, *ended.time_limit)
                                           : clock::time_point::max();
    const bool late = deadline < until;
    if (late) until = deadline;
    try {
      co_await detail::run_until(until, all.all_read.wait());
    } catch (const timed_out&) {
      all.leaked = true;
      if (late) ended.kill_leftovers();
    }
  }
  for (reader& each : ended.outputs) each.close();
  ended.input.close();
  co_return status;
}

task<exit_status> status_of(detail::launch_plan plan, std::vector<std::string> words) {
  if (plan.terminal) {
    throw std::logic_error(
        "brood: command::status() does not read what the program's terminal shows: the program would stop as "
        "soon as that is "
        "full. Use output(), or spawn()");
  }
  for (const auto& stream : plan.streams) {
    if (stream && stream->what() == stdio::kind::pipe) {
      throw std::logic_error(
          "brood: command::status() does not read or write the program's streams: one that is `piped` would "
          "stop it as soon as "
          "the pipe is full. Use output(), or spawn(), or another place for it");
    }
  }
  auto running = co_await launch_program(std::move(plan), std::move(words));
  kill_on_error guard(*running);
  const exit_status status = co_await run_to_end(running);
  guard.release();
  co_return status;
}

task<command_output> output_of(detail::launch_plan plan, program_call call) {
  if (!plan.streams[0]) plan.streams[0] = call.has_input ? piped : null;
  for (std::size_t number : {1U, 2U}) {
    if (!plan.streams[number] && !plan.terminal) plan.streams[number] = piped;
  }
  traffic all;
  all.running = co_await launch_program(std::move(plan), std::move(call.words));
  child& running = *all.running;
  kill_on_error guard(running);
  auto [status, out, err, fed] = co_await when_all(
      drain(all, call.drain), collect(all, running.outputs[0], call.max_output),
      collect(all, running.outputs[1], call.max_output), feed(running.input, std::move(call.input)));
  guard.release();
  command_output result;
  result.status = status;
  result.out = std::move(out);
  result.err = std::move(err);
  result.leaked = all.leaked;
  co_return result;
}

task<program> program_of(detail::launch_plan plan, std::vector<std::string> words, nursery* scope) {
  if (scope != nullptr && !plan.leftovers) plan.leftovers = leftovers::kill;
  auto running = co_await launch_program(std::move(plan), std::move(words));
  if (scope != nullptr) detail::keep_within(*scope, running);
  co_return program(std::move(running));
}

}  // namespace

// Plain functions that hand over copies, so that the tasks do not refer to a command that may be a temporary.

task<exit_status> command::status() const& { return status_of(plan_, call_.words); }
task<exit_status> command::status() && { return status_of(std::move(plan_), std::move(call_.words)); }

task<command_output> command::output() const& { return output_of(plan_, call_); }
task<command_output> command::output() && { return output_of(std::move(plan_), std::move(call_)); }

task<program> command::spawn() const& { return program_of(plan_, call_.words, nullptr); }
task<program> command::spawn() && { return program_of(std::move(plan_), std::move(call_.words), nullptr); }
task<program> command::spawn_in(nursery& scope) && {
  return program_of(std::move(plan_), std::move(call_.words), &scope);
}

}  // namespace brood
