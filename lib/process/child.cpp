#include "process/child.hpp"

#include <csignal>
#include <utility>

#include "brood/coroutine/detail/forked.hpp"
#include "brood/coroutine/detail/saturating_time.hpp"
#include "process/family.hpp"
#include "process/process_tree.hpp"
#include "process/stopping.hpp"
#include "process/supervisor.hpp"
#include "runtime/log.hpp"
#include "system/calls.hpp"
#include "system/pidfd.hpp"

namespace brood::detail {

void kill_timer::start(clock::time_point when, child& owner, bool child::* reason) {
  stop();
  owner_ = &owner;
  reason_ = reason;
  loop_ = &executor::current();
  due = when;
  run = [](ready_node& node) noexcept {
    const auto& self = static_cast<kill_timer&>(static_cast<timer_node&>(node));
    child& late = *self.owner_;
    late.*self.reason_ = true;
    late.left_policy = brood::leftovers::kill;
    log_debug("the time of {} ({}) is over", late.name, late.pid);
    kill_or_give_up(late);
  };
  loop_->start_timer(*this);
}

void kill_timer::stop() noexcept {
  if (loop_ != nullptr) loop_->stop_timer(*this);
  loop_ = nullptr;
}

int child::send_signal(int number) noexcept {
  if (!pidfd || forked) return 0;
  if (sys::send_signal(pidfd.get(), number)) {
    if (number > 0 && number < 64) sent |= std::uint64_t{1} << number;
    return 0;
  }
  return errno == ESRCH ? 0 : errno;
}

void child::unpin() noexcept {
  pinned = false;
  if (zombie && !forked) sys::reap(zombie.get());
  zombie.reset();
}

int child::kill_tree() noexcept {
  if (!pidfd || forked) return 0;
  sent |= std::uint64_t{1} << SIGKILL;
  return detail::kill_tree(pid, pidfd.get());
}

std::string last_words_of(const child& child) { return tail_of(child.outputs[1], 4096); }

int child::signal_group(int number) noexcept {
  if (!leads_group || !pidfd || forked) return send_signal(number);
  if (number > 0 && number < 64) sent |= std::uint64_t{1} << number;
  const int error = sys::signal_group(pidfd.get(), number);
  if (error != EINVAL) return error == ESRCH ? 0 : error;
  // An older kernel. A relayed child's server may have reaped it, and the number may be another's.
  return relayed || sys::kill(-pid, number) != 0 ? send_signal(number) : 0;
}

int child::ask_to_stop(std::chrono::nanoseconds limit) noexcept {
  if (status || forked) return 0;
  signalled = true;
  const auto when = time_after(stopping::shortened(limit));
  if (asked && when >= stop_timer.due) return 0;
  const bool first = !std::exchange(asked, true);
  left_policy = brood::leftovers::kill;
  if (limit.count() <= 0) {
    overran = true;
    return kill_tree();
  }
  try {
    stop_timer.start(when, *this, &child::overran);
  } catch (...) {  // no memory for the timer: it cannot be waited for
    overran = true;
    return kill_tree();
  }
  if (const auto& connection = family::get().server) connection->table.ask_to_stop(slot, when);
  if (!first) return 0;
  if (kind != launch_kind::program) return send_request();
  // Once it has ended nobody can tell whose children they were.
  if (pidfd) known = descendants_of(pid);
  return signal_group(stop_signal);
}

void child::kill_leftovers() noexcept {
  kill_descendants(std::exchange(known, {}));
  if (!leads_group || pid == 0 || forked) return;
  const int own = pidfd ? pidfd.get() : left.get();
  const bool by_number = own < 0 || sys::signal_group(own, SIGKILL) == EINVAL;
  if (by_number && !relayed && !status) sys::kill(-pid, SIGKILL);
}

int child::send_request() noexcept {
  if (stop_signal != SIGTERM) return send_signal(stop_signal);
  if (!pidfd || forked) return 0;
  if (!sys::send_signal_with(pidfd.get(), SIGTERM, stopping::request_mark)) return errno == ESRCH ? 0 : errno;
  sent |= std::uint64_t{1} << SIGTERM;  // a child that has no handler yet dies of it
  return 0;
}

/// A result that crosses the request to stop is a result, also if the child was then too slow to end.
void child::throw_if_failed() const {
  using what = decltype(child_report::kind);
  if (failure) std::rethrow_exception(failure);
  if (report == what::value && (status->success() || asked)) return;
  if (report == what::cancelled) throw cancelled();
  if (!report || *report == what::value || *report == what::ready) {
    if (kind == launch_kind::program) return;
    const bool obeyed =
        asked && status->signal == stop_signal;  // before its function began, or by its own will
    if (obeyed) throw cancelled();
    throw child_died(name, pid, *status, {"", last_words_of(*this), crash, as_here()});
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
