#include "process/supervisor.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

#include "brood/arena/family_memory.hpp"
#include "brood/coroutine/detail/forked.hpp"
#include "brood/coroutine/when_all.hpp"
#include "process/stopping.hpp"
#include "runtime/log.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/pidfd.hpp"

namespace brood::detail {
namespace {

// What one turn of the loop handles of each kind; the rest waits for the next turn, so that timers and others get
// theirs. One item costs a few microseconds.
constexpr int batch = 64;

supervisor* supervisor_of_process = nullptr;

/// A deadline that passes between a child's own end and its reaping has not ended it.
exit_status status_of(const sys::ending& ending, bool deadline_passed) {
  exit_status status;
  status.known = ending.known;
  status.signal = ending.signaled ? ending.code : 0;
  status.exitcode = !ending.known ? 255 : ending.signaled ? -ending.code : ending.code;
  status.core_dumped = ending.core_dumped;
  status.deadline_passed = deadline_passed && status.signal == SIGKILL;
  const auto duration = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  const rusage& used = ending.usage;
  const auto count = [](long n) { return static_cast<std::uint64_t>(n); };
  status.usage = {duration(used.ru_utime), duration(used.ru_stime), count(used.ru_maxrss) * 1024,
                  count(used.ru_minflt),   count(used.ru_majflt),   count(used.ru_nvcsw),
                  count(used.ru_nivcsw)};
  return status;
}

/// Of this process, which gets a fork server if it has none.
server_connection& connection_for_spawning() {
  if (forked) throw forked_process();
  if (supervisor_of_process != nullptr) {
    throw std::logic_error("brood: children are managed by the runtime of another thread of this process");
  }
  ensure_server(family::get());
  return *family::get().server;
}

}  // namespace

// --- beginning and end ---

supervisor::supervisor(runtime& loop)
    : connection_(connection_for_spawning()),
      reply_buffer_(largest_message),
      report_buffer_(largest_message),
      deaths_(loop, [this](std::span<const mortal> dead) { on_deaths(dead); }),
      results_watch_(loop, connection_.results.get(), [this](int) { read_reports(batch); }),
      retry_(loop, [this] { return flush(); }),
      servers_(loop, deaths_, *this),
      orphans_(loop, deaths_, connection_.left) {
  sys::set_nonblocking(connection_.results.get(), true);
  results_watch_.background();
  results_watch_.watch(fd_watch::readable);
  supervisor_of_process = this;
}

supervisor::~supervisor() {
  end_unanswered();
  for (const auto& [id, child] : children_) leave(child->pid, *child);
  supervisor_of_process = nullptr;
}

/// Requests that were withdrawn and that a server has kept without an answer: it is stopped, or hangs. A child that it has
/// made all the same would have no parent that waits for it.
void supervisor::end_unanswered() noexcept {
  if (in_flight_.empty()) return;
  servers_.end_silent_ones();
  for (const auto& [id, request] : std::exchange(in_flight_, {})) {
    const pid_t made = connection_.table.pid(request.target->slot);
    if (made > 0) {
      // Ours and not reaped, so the number is its own. One that may not be killed would be waited for without end.
      if (sys::kill(made, SIGKILL) != 0 && errno == EPERM) {
        leave(made, *request.target);
        continue;
      }
      sys::await_and_reap(made, -1);
    }
    if (request.target->in_memory) family_memory::on_death(request.target->in_memory);
  }
}

/// A child that has not ended: it is detached, or may not be killed.
void supervisor::leave(pid_t pid, const child& child) noexcept {
  if (pid == 0) return;
  if (child.relayed || child.orphaned) return family_memory::unwatch_orphan(child.in_memory);
  try {
    connection_.left.push_back({pid, child.in_memory});
  } catch (const std::bad_alloc&) {  // nobody reaps it before this process ends
  }
}

supervisor& supervisor::current() { return runtime::current().use<supervisor>(); }

void supervisor::abandon_after_fork() noexcept {
  supervisor_of_process = nullptr;
  stopping::forget();
}

void supervisor::count_children(runtime& loop, snapshot& counted) {
  const auto* self = loop.find<supervisor>();
  if (self == nullptr) return;
  for (const auto& [id, child] : self->children_) ++(child->pid != 0 ? counted.children : counted.starting);
}

std::vector<std::shared_ptr<child>> supervisor::children() const {
  std::vector<std::shared_ptr<child>> result;
  for (const auto& [id, child] : children_) {
    if (child->pid != 0 && !child->status) result.push_back(child);
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
  return result;
}

task<> supervisor::end_children(bool all) {
  std::vector<task<>> ends;
  for (const auto& [id, child] : children_) {
    if (child->detached || child->status || (child->unwanted && child->pid == 0)) continue;
    if (all || child->daemon) {
      ends.push_back(end_child(child));
    } else {
      ends.push_back([](std::shared_ptr<detail::child> c) -> task<> { co_await c->ended.wait(); }(child));
    }
  }
  co_await when_all(std::move(ends));
  kill_leftovers();
}

task<> supervisor::shut_down() {
  joining_ = true;
  return end_children(stopping::requested() && family::get().is_child);
}

void supervisor::stop_joining() noexcept {
  if (!joining_) return;
  for (const auto& [id, child] : children_) {
    if (!child->detached) child->ask_to_stop(child->stop_limit);
  }
}

// --- ends ---

void supervisor::on_deaths(std::span<const mortal> dead) {
  // A child reports before it ends, so the reports of all of these have come.
  read_reports(std::numeric_limits<int>::max());
  several_end_ = dead.size() > 1;
  for (const mortal& who : dead) {
    switch (who.what) {
      case mortal::kind::child:
        reap(who.number);
        break;
      case mortal::kind::orphan:
        orphans_.on_death(who.number);
        break;
      case mortal::kind::server:
        servers_.on_death(static_cast<pid_t>(who.number));
        break;
    }
  }
}

void supervisor::reap(std::uint64_t id) {
  const auto found = children_.find(id);
  if (found == children_.end()) return;
  const std::shared_ptr<child> child = found->second;
  // Before it is reaped: from then on its pid may become somebody else's.
  connection_.table.release_pid(child->slot);
  if (child->left_policy == leftovers::kill) child->kill_leftovers();
  auto ending = child->pidfd ? sys::reap(child->pidfd.get(), child->pinned) : sys::reap_by_number(child->pid);
  if (!ending && child->orphaned) ending.emplace();  // its new parent may never reap it: nobody will know
  if (ending) finish(*child, *ending);
}

void supervisor::finish(child& child, const sys::ending& ending) {
  const spawn_slot& slot = connection_.table[child.slot];
  if (!child.failure && slot.failed != stage::none)
    child.failure = launch_error(child, slot.failed, slot.error);
  child.deadline.stop();
  child.stop_timer.stop();
  if (child.pidfd && !child.relayed) deaths_.remove(child.pidfd.get());
  deaths_.remove_without_descriptor(mortal_of(child));
  if (child.relayed && child.left_policy == leftovers::kill) child.kill_leftovers();
  unique_fd pidfd = std::exchange(child.pidfd, {});
  if (child.pinned && !child.relayed) child.zombie = std::move(pidfd);
  if (child.relayed) servers_.note_end(child.server);
  if (child.status) return forget(child);  // given up before
  child.status = status_of(ending, child.deadline_passed);
  child.status->stop_requested = child.asked;
  child.status->stop_overran = child.overran && child.status->signal == SIGKILL;
  explain(child);
  if (pidfd && child.left_policy == leftovers::report && child.leads_group)
    note_leftovers(child, std::move(pidfd));
  if (child.confirm && !child.failure && !child.unwanted) {
    child.failure = std::make_exception_ptr(child_died(child.name, child.pid, *child.status));
  }
  tell_of_end(child);
  forget(child);
}

/// Why it ended; what it left of a crash.
void supervisor::explain(child& child) try {
  using what = decltype(child_report::kind);
  exit_status& status = *child.status;
  evidence known;
  known.asked = child.asked;
  known.gave_result = child.report && *child.report != what::ready && *child.report != what::cancelled;
  known.sent = child.sent;
  known.may_die_with_server = child.relayed || child.orphaned;
  known.cpu_limit = child.cpu_limit;
  rlimit own{};  // which the child has inherited
  known.file_limit =
      child.file_limit ||
      (status.signal == SIGXFSZ && sys::getrlimit(RLIMIT_FSIZE, &own) == 0 && own.rlim_cur != RLIM_INFINITY);
  if (std::atomic_ref(connection_.table[child.slot].crashed).load(std::memory_order_acquire) != 0) {
    const auto crash = std::make_shared<crash_record>(connection_.table.crash(child.slot));
    crash->count = std::min(crash->count, crash_record::most_frames);
    known.crash = {crash->signal, crash->code > 0};
    if (crash->signal == status.signal && crash->code > 0) status.fault_address = crash->address;
    child.crash = crash;
  }
  status.why = judge(status, known, memory_, !several_end_);
} catch (...) {  // no memory to find out: it is not known
}

void supervisor::note_leftovers(child& child, unique_fd pidfd) noexcept {
  const int answer = sys::signal_group(pidfd.get(), 0);
  const bool old_kernel = answer == EINVAL;
  if (old_kernel ? sys::kill(-child.pid, 0) != 0 : answer != 0) return;
  if (!runs_in_group(child.pid)) return;  // zombies, whose new parent is about to reap them
  child.status->leftovers = true;
  log_debug("{} ({}) has left processes of its group running", child.name, child.pid);
  if (old_kernel) return;  // later its number may be another's
  child.left = std::move(pidfd);
  try {
    if (left_.size() == left_.capacity()) {
      std::erase_if(left_, [](const auto& each) { return sys::signal_group(each->left.get(), 0) == ESRCH; });
      left_.reserve(2 * left_.size() + 16);
    }
    left_.push_back(children_.at(child.id));
  } catch (const std::bad_alloc&) {
    child.kill_leftovers();  // nobody would do it later
  }
}

void supervisor::kill_leftovers() noexcept {
  for (const auto& child : std::exchange(left_, {})) child->kill_leftovers();
}

// --- the fork server's ---

void supervisor::on_server_ready(pid_t server) {
  read_replies(server);
  if (flush()) retry_.start();
}

void supervisor::on_server_death(pid_t server) {
  recover_in_flight(server);
  take_over_relayed(server);
}

void supervisor::on_no_server(const std::exception_ptr& why) {
  std::map<std::uint64_t, outgoing_request> failed;  // nodes move without an allocation
  for (auto next = unsent_.begin(); next != unsent_.end();) {
    const auto each = next++;
    const outgoing_request& request = each->second;
    if (request.generation != connection_.generation && servers_.can_serve(request))
      continue;  // a retired one's
    failed.insert(unsent_.extract(each));
  }
  for (const auto& [id, request] : failed) fail_launch(*request.target, why);
}

/// The kernel writes a child's pid to its slot while it makes it, so the table says which requests were carried out:
/// those children are ours to take over, the others are asked for again, in their order.
void supervisor::recover_in_flight(pid_t server) {
  std::map<std::uint64_t, outgoing_request> lost;  // nodes move without an allocation
  for (auto next = in_flight_.begin(); next != in_flight_.end();) {
    const auto asked = next++;
    if (asked->second.server == server) lost.insert(in_flight_.extract(asked));
  }
  while (!lost.empty()) {
    auto request = lost.extract(lost.begin());
    const std::shared_ptr<child> target = request.mapped().target;
    child& made = *target;
    made.server = server;  // its parent, if it is relayed
    const pid_t pid = connection_.table.pid(made.slot);
    if (pid == 0) {
      unsent_.insert(std::move(request));
      continue;
    }
    unique_fd pidfd = sys::open_process(pid);
    if (!pidfd && errno == ESRCH) {
      finish(made, sys::ending());
      continue;
    }
    if (!pidfd) fail_for_want_of_descriptor(made, pid);
    launched(made, pid, std::move(pidfd));
  }
}

/// Relayed children die with their server, their parent. Nobody is left to tell how, except perhaps the kernel.
void supervisor::take_over_relayed(pid_t server) {
  for (auto& [id, child] : children_) {
    if (child->pid == 0 || child->server != server || !std::exchange(child->relayed, false))
      continue;  // not those that are asked for again
    child->orphaned = true;
    // Without a descriptor, where it had ended before its pid came: the server was to tell how.
    if (child->pidfd && deaths_.add(child->pidfd.get(), mortal_of(*child))) continue;
    child->pidfd.reset();
    deaths_.add_without_descriptor(child->pid, mortal_of(*child));
  }
}

}  // namespace brood::detail
