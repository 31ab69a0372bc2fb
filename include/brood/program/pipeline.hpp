// Pipelines: programs, functions and coroutines, each of which reads what the one before it writes.
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/process/command.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/process/process.hpp"
#include "brood/process/spawn.hpp"
#include "brood/runtime/stream.hpp"

namespace brood {

namespace detail {
class pipeline_run;
}  // namespace detail

class pipeline;
/// The stages of the one and behind them those of the other. What was set for the whole of the first one stays.
BROOD_API pipeline operator|(pipeline first, pipeline then);

/// How each stage ended, in their order. A coroutine that ended has an exit code of 0.
struct pipeline_status {
  std::vector<exit_status> stages;
  bool pipefail = true;

  /// The status that counts: that of the last stage that has failed, else the last one's. Without `pipefail` always the
  /// last one's. A stage before the last one that SIGPIPE ended has not failed: nobody wanted more of it.
  BROOD_API const exit_status& decisive() const noexcept;
  bool success() const noexcept { return decisive().success(); }
};

/// "exited with 0", "stage 2 of 3 was killed by SIGKILL (9)".
BROOD_API std::string describe(const pipeline_status& status);

/// What a pipeline that has ended wrote.
struct pipeline_output {
  pipeline_status status;
  std::string out;  // of its last stage
  std::string err;  // of all of them, in the order in which it was written
};

/// A function of the program as a stage: it runs in a child, as by `spawn`, with the setters of that, and reads its
/// standard input and writes its standard output. What it returns is dropped. Made by `stage`.
class function_stage : public launch_setters<function_stage, detail::functions> {
 public:
  using call_maker = std::function<detail::function_call()>;
  explicit function_stage(call_maker make) : make_(std::make_shared<const call_maker>(std::move(make))) {}

 private:
  friend class detail::pipeline_run;
  std::shared_ptr<const call_maker> make_;  // each run encodes its arguments anew
};

/// `stage<f>(args...)`: `Function` as a stage; see `spawn` for what it may be.
template <auto Function, class... Arguments>
function_stage stage(Arguments&&... arguments) {
  detail::require_safe_temporary<Arguments...>();
  return function_stage([... copies = std::decay_t<Arguments>(std::forward<Arguments>(arguments))] {
    return detail::make_call<Function>(copies...);
  });
}

/// A coroutine of this process as a stage. It owns its ends, which are closed when it has ended. At an end of the pipeline
/// the stream that leads out of it is empty unless it is `piped`.
template <class F>
concept coroutine_stage = std::copy_constructible<std::decay_t<F>> && requires(std::decay_t<F>& f) {
  { f(reader(), writer()) } -> std::same_as<task<>>;
};

namespace detail {
using stage_function = std::function<task<>(reader, writer)>;
using pipeline_stage = std::variant<command, function_stage, stage_function>;
}  // namespace detail

/// A pipeline that runs. A small copyable value; copies name the same one. Loop thread only. Lifetime: dropping the last
/// handle leaves it running under the runtime; its stages are then children like others.
class BROOD_API running_pipeline {
 public:
  explicit running_pipeline(std::shared_ptr<detail::pipeline_run> run) noexcept : run_(std::move(run)) {}

  /// Its processes, in the order of their stages.
  std::vector<process_handle> processes() const;
  /// Waits until every stage has ended. Throws what a coroutine threw. Cancellation: the pipeline runs on.
  task<pipeline_status> join() const;
  /// SIGTERM to each process, cancellation to each coroutine.
  void terminate() const;
  /// SIGKILL to each process and its tree, cancellation to each coroutine.
  void kill() const;

  /// The parent's ends, where the pipeline's streams are `piped`; else empty.
  writer& stdin_() const noexcept;
  reader& stdout_() const noexcept;
  reader& stderr_() const noexcept;  ///< of all stages together

 private:
  std::shared_ptr<detail::pipeline_run> run_;
};

/// `command("zcat", f) | command("sort") | command("uniq", "-c")`: stages that are joined by pipes, through which nothing
/// passes by this process but what its own coroutines handle. All processes are in one process group, the first one's.
/// What a stage has set itself wins, as in a shell: one whose `stdout_` is a file gives the next one nothing to read.
///
/// A value: copies are pipelines of their own, and one that has a name can be run again. The three that run it throw
/// `std::system_error` if a stage cannot be started; those that were are killed first.
class BROOD_API pipeline {
 public:
  pipeline(command first) { stages_.emplace_back(std::move(first)); }
  pipeline(function_stage first) { stages_.emplace_back(std::move(first)); }
  template <class F>
    requires(!std::same_as<std::decay_t<F>, pipeline>) && coroutine_stage<F>
  pipeline(F&& first) {
    detail::require_safe_function<F>();
    stages_.emplace_back(detail::stage_function(std::forward<F>(first)));
  }

  /// What the first stage reads: as the setters of `command`, which see. `input` counts for `status` and `output`.
  pipeline& stdin_(stdio from) & { return set(streams_[0], std::move(from)); }
  pipeline&& stdin_(stdio from) && { return std::move(stdin_(std::move(from))); }
  pipeline& input(std::string text) & { return set(input_, std::move(text)); }
  pipeline&& input(std::string text) && { return std::move(input(std::move(text))); }
  /// Where the last stage writes.
  pipeline& stdout_(stdio to) & { return set(streams_[1], std::move(to)); }
  pipeline&& stdout_(stdio to) && { return std::move(stdout_(std::move(to))); }
  /// Where the errors of all stages go. `piped`: all in one pipe.
  pipeline& stderr_(stdio to) & { return set(streams_[2], std::move(to)); }
  pipeline&& stderr_(stdio to) && { return std::move(stderr_(std::move(to))); }
  /// Whether it has failed if any stage has, not only the last one; default yes.
  pipeline& pipefail(bool yes = true) & { return set(pipefail_, yes); }
  pipeline&& pipefail(bool yes = true) && { return std::move(pipefail(yes)); }
  /// For `output`: the most bytes that each of the two outputs may hold; default unlimited.
  pipeline& max_output(std::size_t most) & { return set(max_output_, most); }
  pipeline&& max_output(std::size_t most) && { return std::move(max_output(most)); }
  /// Kills each process that has run for so long, with its tree.
  template <class Rep, class Period>
  pipeline& deadline(std::chrono::duration<Rep, Period> d) & {
    return set(deadline_, detail::saturating_ceil<std::chrono::nanoseconds>(d));
  }
  template <class Rep, class Period>
  pipeline&& deadline(std::chrono::duration<Rep, Period> d) && {
    return std::move(deadline(d));
  }

  /// Runs it until every stage has ended; throws what a coroutine threw, when the others have been killed. What the
  /// processes have left in their group is killed. Cancellation: each stage is ended (processes by SIGTERM, a grace
  /// period, SIGKILL) and awaited. Throws `std::logic_error` if an output is `piped`.
  task<pipeline_status> status() const;
  /// The same, and gives what it wrote. Throws `std::length_error`, after killing it, if that is more than `max_output`.
  task<pipeline_output> output() const;
  /// Starts it and leaves it running.
  task<running_pipeline> spawn() const;

 private:
  friend class detail::pipeline_run;
  friend pipeline operator|(pipeline first, pipeline then);

  template <class T, class V>
  pipeline& set(T& what, V value) {
    what = std::move(value);
    return *this;
  }

  std::vector<detail::pipeline_stage> stages_;
  std::optional<stdio> streams_[3];
  std::optional<std::string> input_;
  std::optional<std::chrono::nanoseconds> deadline_;
  std::size_t max_output_ = std::numeric_limits<std::size_t>::max();
  bool pipefail_ = true;
};

}  // namespace brood
