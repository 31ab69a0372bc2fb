// How one child is ended.
#include "process/supervisor.hpp"

#include <fmt/core.h>

#include <csignal>
#include <system_error>

#include "brood/coroutine/with_timeout.hpp"
#include "runtime/log.hpp"

namespace brood::detail {
namespace {

/// Waits for its end as long as it may take.
task<bool> ends_in_time(std::shared_ptr<child> child) {
  try {
    co_await with_timeout(child->stop_limit, child->ended.wait());
  } catch (const timed_out&) {
    co_return false;
  }
  co_return true;
}

}  // namespace

task<> await_end_of_unwanted(std::shared_ptr<child> child) {
  const bool ended = co_await ends_in_time(child);
  if (!ended && child->pid != 0) co_await child->ended.wait();
}

task<> end_child(std::shared_ptr<child> child) {
  child->ask_to_stop(child->stop_limit);
  if (child->pid == 0) {
    const bool ended = co_await ends_in_time(child);
    if (ended) co_return;
    if (child->pid == 0) {  // its server does not answer: it is killed if it is made after all
      child->unwanted = true;
      co_return;
    }
  }
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

}  // namespace brood::detail
