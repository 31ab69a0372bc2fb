#include "brood/process/command.hpp"

#include "brood/coroutine/nursery.hpp"
#include "brood/coroutine/when_all.hpp"
#include "brood/process/spawn.hpp"
#include "process/supervisor.hpp"

namespace brood {
namespace {

using detail::child;

task<std::shared_ptr<child>> launch_program(detail::launch_plan plan, std::vector<std::string> words) {
  detail::launch_target target;
  target.kind = detail::launch_kind::program;
  target.command = std::move(words);
  return detail::supervisor::current().launch(std::move(plan), std::move(target));
}

/// Kills a program that nobody would wait for any more, as an error came first.
class kill_on_error {
 public:
  explicit kill_on_error(child& running) noexcept : running_(&running) {}
  ~kill_on_error() {
    if (running_ != nullptr) detail::kill_or_give_up(*running_);
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

task<> feed(writer to, std::string bytes) {
  if (!to) co_return;
  try {
    co_await to.write(std::move(bytes));
  } catch (const closed&) {
    // The program ended, or closed its input, without reading all of it: its own affair, as in a shell.
  }
  to.close();
}

task<std::string> collect(std::shared_ptr<child> running, reader from, std::size_t most) {
  if (!from) co_return std::string();
  try {
    co_return co_await from.read_all(most);
  } catch (const std::length_error&) {
    detail::kill_or_give_up(*running);
    throw std::length_error(running->name + " wrote more than its limit");
  }
}

task<exit_status> status_of(detail::launch_plan plan, std::vector<std::string> words) {
  auto running = co_await launch_program(std::move(plan), std::move(words));
  kill_on_error guard(*running);
  const exit_status status = co_await run_to_end(running);
  guard.release();
  co_return status;
}

task<command_output> output_of(detail::launch_plan plan, std::vector<std::string> words, std::string input,
                               std::size_t most) {
  auto running = co_await launch_program(std::move(plan), std::move(words));
  kill_on_error guard(*running);
  auto [status, out, err, fed] =
      co_await when_all(run_to_end(running), collect(running, running->outputs[0], most),
                        collect(running, running->outputs[1], most), feed(running->input, std::move(input)));
  guard.release();
  co_return command_output{status, std::move(out), std::move(err)};
}

}  // namespace

task<exit_status> command::status() && { return status_of(std::move(plan_), std::move(call_.words)); }

task<command_output> command::output() && {
  if (!plan_.streams[0]) plan_.streams[0] = call_.has_input ? piped : null;
  if (!plan_.streams[1]) plan_.streams[1] = piped;
  if (!plan_.streams[2]) plan_.streams[2] = piped;
  return output_of(std::move(plan_), std::move(call_.words), std::move(call_.input), call_.max_output);
}

task<program> command::spawn() && {
  return [](detail::launch_plan plan, std::vector<std::string> words) -> task<program> {
    co_return program(co_await launch_program(std::move(plan), std::move(words)));
  }(std::move(plan_), std::move(call_.words));
}

}  // namespace brood
