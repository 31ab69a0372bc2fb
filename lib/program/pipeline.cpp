#include "brood/program/pipeline.hpp"

#include <fmt/core.h>

#include <csignal>
#include <stdexcept>

#include "brood/coroutine/when_all.hpp"
#include "program/pipeline_run.hpp"

namespace brood {
namespace {

using detail::pipeline_run;

/// Kills a pipeline that nobody would wait for any more, as an error came first.
class kill_on_error {
 public:
  explicit kill_on_error(pipeline_run& running) noexcept : running_(&running) {}
  ~kill_on_error() {
    if (running_ != nullptr) running_->kill();
  }
  kill_on_error(const kill_on_error&) = delete;
  kill_on_error& operator=(const kill_on_error&) = delete;
  void release() noexcept { running_ = nullptr; }

 private:
  pipeline_run* running_;
};

task<> feed(writer to, std::string bytes) {
  if (!to) co_return;
  try {
    co_await to.write(std::move(bytes));
  } catch (const closed&) {
    // The first stage ended, or closed its input, without reading all of it: its own affair, as in a shell.
  }
  to.close();
}

task<std::string> collect(std::shared_ptr<pipeline_run> run, reader from) {
  if (!from) co_return std::string();
  try {
    co_return co_await from.read_all(run->max_output());
  } catch (const std::length_error&) {
    run->kill();
    throw std::length_error("a pipeline wrote more than its limit");
  }
}

task<pipeline_status> status_of(pipeline what) {
  pipeline_run::require_no_outputs(what);
  auto run = co_await pipeline_run::start(std::move(what), true);
  kill_on_error guard(*run);
  auto [status, fed] = co_await when_all(pipeline_run::run_to_end(run), feed(run->input, run->take_input()));
  guard.release();
  co_return std::move(status);
}

task<pipeline_output> output_of(pipeline what) {
  auto run = co_await pipeline_run::start(pipeline_run::with_outputs(std::move(what)), true);
  kill_on_error guard(*run);
  auto [status, out, err, fed] =
      co_await when_all(pipeline_run::run_to_end(run), collect(run, run->output), collect(run, run->errors),
                        feed(run->input, run->take_input()));
  guard.release();
  co_return pipeline_output{std::move(status), std::move(out), std::move(err)};
}

}  // namespace

const exit_status& pipeline_status::decisive() const noexcept {
  static const exit_status nothing;
  if (stages.empty()) return nothing;
  for (std::size_t i = stages.size(); pipefail && i-- > 0;) {
    const bool not_wanted = stages[i].signal == SIGPIPE && i + 1 < stages.size();
    if (!stages[i].success() && !not_wanted) return stages[i];
  }
  return stages.back();
}

std::string describe(const pipeline_status& status) {
  const exit_status& decisive = status.decisive();
  if (decisive.success()) return describe(decisive);
  const auto stage = static_cast<std::size_t>(&decisive - status.stages.data()) + 1;
  return fmt::format("stage {} of {} {}", stage, status.stages.size(), describe(decisive));
}

pipeline operator|(pipeline first, pipeline then) {
  for (auto& each : then.stages_) first.stages_.push_back(std::move(each));
  return first;
}

task<pipeline_status> pipeline::status() const { return status_of(*this); }
task<pipeline_output> pipeline::output() const { return output_of(*this); }
task<running_pipeline> pipeline::spawn() const {
  return [](pipeline what) -> task<running_pipeline> {
    co_return running_pipeline(co_await pipeline_run::start(std::move(what), false));
  }(*this);
}

std::vector<process_handle> running_pipeline::processes() const { return run_->processes(); }

task<pipeline_status> running_pipeline::join() const {
  return [](std::shared_ptr<pipeline_run> run) -> task<pipeline_status> {
    co_await run->ended.wait();
    co_return run->result();
  }(run_);
}

void running_pipeline::terminate() const { run_->terminate(); }
void running_pipeline::kill() const { run_->kill(); }
writer& running_pipeline::stdin_() const noexcept { return run_->input; }
reader& running_pipeline::stdout_() const noexcept { return run_->output; }
reader& running_pipeline::stderr_() const noexcept { return run_->errors; }

}  // namespace brood
