// The worker's loop: claim, run, publish, tell; sleep only when there is nothing to claim.
#include "brood/pool/detail/worker.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "brood/coroutine/error.hpp"
#include "brood/pool/detail/pool_function.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/runtime/sync_wait.hpp"
#include "process/stopping.hpp"
#include "runtime/trace_file.hpp"

namespace brood::detail {
namespace {

task<> until_there_is_work(lane& where) { co_await lane_awaiter(where); }

/// The function of the last task is looked up once.
class known_function {
 public:
  pool_entry find(function_token token) {
    if (entry_ == nullptr || token.offset != token_.offset || token.module != token_.module) {
      entry_ = nullptr;
      entry_ = pool_entry_of(token);
      token_ = token;
    }
    return entry_;
  }

 private:
  function_token token_;
  pool_entry entry_ = nullptr;
};

void tell(const task_run& task, std::uint32_t number, clock::time_point begin) {
  trace_file::current()->stretch(getpid(), task.name(), begin, clock::now(),
                                 fmt::format(R"("task":{},"items":{})", number, task.done()), "task");
}

void run_task(lane& where, std::uint32_t number, known_function& functions) {
  const auto begin = tracing != nullptr ? clock::now() : clock::time_point();
  task_run task(where, number);
  try {
    functions.find(where.slot(number).function)(task);
  } catch (const unknown_function&) {
    while (task.next_item()) task.failure(std::current_exception(), failure_kind::unknown_function);
  }
  task.publish();
  if (tracing != nullptr) [[unlikely]]
    tell(task, number, begin);
}

}  // namespace

void pool_worker(pool_handle<lane> lane, pool_handle<hub> hub, std::uint32_t seat,
                 initializer_call initializer) {
  if (initializer.function.offset != 0) {
    entry_of(initializer.function)(initializer.arguments, [] {});
  }
  stopping::watch_task(lane->state().running, asked_to_end);
  lane->set_ready();
  hub->notify(seat);
  known_function functions;
  for (;;) {
    if (stopping::requested()) throw cancelled();  // the process, as no task runs
    if (const auto number = lane->claim()) {
      run_task(*lane, *number, functions);
      hub->notify(seat);
    } else if (lane->is_closing()) {
      return;
    } else {
      sync_wait(until_there_is_work(*lane));
    }
  }
}

}  // namespace brood::detail
