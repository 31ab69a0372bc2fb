#include "process/child.hpp"

#include "brood/coroutine/detail/forked.hpp"
#include "process/process_tree.hpp"
#include "process/supervisor.hpp"
#include "runtime/log.hpp"

namespace brood::detail {

void deadline_timer::start(clock::time_point when, child& owner) {
  owner_ = &owner;
  loop_ = &executor::current();
  due = when;
  run = [](ready_node& node) noexcept {
    child& late = *static_cast<deadline_timer&>(static_cast<timer_node&>(node)).owner_;
    late.deadline_passed = true;
    log_debug("the deadline of {} ({}) has passed", late.name, late.pid);
    kill_or_give_up(late);
  };
  loop_->start_timer(*this);
}

void deadline_timer::stop() noexcept {
  if (loop_ != nullptr) loop_->stop_timer(*this);
  loop_ = nullptr;
}

int child::send_signal(int number) noexcept {
  if (!pidfd || forked || sys::send_signal(pidfd.get(), number) || errno == ESRCH) return 0;
  return errno;
}

int child::kill_tree() noexcept { return pidfd && !forked ? detail::kill_tree(pid, pidfd.get()) : 0; }

void child::throw_if_failed() const {
  using what = decltype(child_report::kind);
  if (failure) std::rethrow_exception(failure);
  if (report == what::value && status->success()) return;
  if (!report || *report == what::value || *report == what::ready) {
    if (kind == launch_kind::program && status->success()) return;
    throw child_died(name, pid, *status);
  }
  const auto error = decode<thrown>(reported());
  switch (*report) {
    case what::cannot_decode:
      throw decode_error(name + ": " + error.what);
    case what::unknown_function:
      throw brood::unknown_function(name + ": " + error.what);
    default:
      throw remote_error(error.type, error.what, name, pid, error.trace);
  }
}

}  // namespace brood::detail
