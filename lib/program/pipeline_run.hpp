// A pipeline that runs: its processes, its coroutines, and the task that waits for the last of them.
#pragma once

#include <sys/types.h>

#include <exception>
#include <memory>
#include <vector>

#include "brood/coroutine/async_event.hpp"
#include "brood/coroutine/async_scope.hpp"
#include "brood/program/pipeline.hpp"
#include "brood/system/unique_fd.hpp"
#include "process/child.hpp"

namespace brood::detail {

/// Lifetime: kept by its handles and, until every stage has ended, by the runtime.
class pipeline_run : public std::enable_shared_from_this<pipeline_run> {
 public:
  /// With `scoped` what the processes leave in their group is killed at the end.
  pipeline_run(pipeline what, bool scoped);

  /// Starts every stage, or none: what was started has ended when this throws.
  static task<std::shared_ptr<pipeline_run>> start(pipeline what, bool scoped);
  /// Waits for the end; ends the pipeline if cancelled.
  static task<pipeline_status> run_to_end(std::shared_ptr<pipeline_run> run);
  /// Throws what a stage threw. To be asked at the end.
  pipeline_status result() const;
  void terminate() noexcept;
  void kill() noexcept;
  std::vector<process_handle> processes() const;

  /// What leads out of a pipeline that `output` runs.
  static pipeline with_outputs(pipeline what);
  /// Throws `std::logic_error` if one is `piped`, as nobody would be at its other end.
  static void require_no_outputs(const pipeline& what);
  std::string take_input();
  std::size_t max_output() const noexcept { return plan_.max_output_; }

  async_event ended;
  writer input;
  reader output;
  reader errors;

 private:
  struct stage {
    unique_fd in;  // until it has been started
    unique_fd out;
    std::shared_ptr<child> process;  // null for a coroutine
    exit_status status;
  };

  bool is_coroutine(std::size_t i) const noexcept { return plan_.stages_[i].index() == 2; }
  static void adopt_input(pipeline& what);
  void make_pipes();
  void lead_out();
  launch_plan plan_of(std::size_t i);
  static task<> launch(std::shared_ptr<pipeline_run> run, std::size_t i, int group);
  static task<> launch_all(std::shared_ptr<pipeline_run> run);
  static task<> end_all(std::shared_ptr<pipeline_run> run);
  static task<> conduct(std::shared_ptr<pipeline_run> run);
  static task<> run_coroutine(std::shared_ptr<pipeline_run> run, std::size_t i, reader in, writer out);
  void start_coroutines();
  void share_deadline() noexcept;
  void kill_what_is_left() const noexcept;
  void fail(std::exception_ptr why) noexcept;

  pipeline plan_;
  const bool scoped_;
  std::vector<stage> stages_;
  unique_fd errors_end_;  // of all stages, until they have been started
  async_scope coroutines_;
  std::exception_ptr failure_;
  std::shared_ptr<child> leader_;
};

}  // namespace brood::detail
