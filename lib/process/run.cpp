#include "brood/process/run.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "brood/arena/family_memory.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "brood/runtime/signal_watch.hpp"
#include "process/child_main.hpp"
#include "process/family.hpp"
#include "process/fork_server.hpp"
#include "process/stopping.hpp"
#include "process/supervisor.hpp"
#include "runtime/escape.hpp"
#include "runtime/log.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"
#include "system/execute.hpp"
#include "system/signals.hpp"
#include "system/standing.hpp"

namespace brood {
namespace {

using detail::family;

void remember_start(family& self, int argc, char** argv, options settings) {
  if (const int error = sys::at_fork(detail::supervisor::abandon_after_fork))
    sys::throw_errno("pthread_atfork", error);
  self.initialized = true;
  self.settings = settings;
  detail::logging = {detail::chosen_log_level(settings.log),
                     []() -> const std::string& { return family::get().name(); }};
  detail::add_snapshot_source(detail::supervisor::count_children);
  self.command_line.assign(argv, argv + argc);
  if (self.command_line.empty()) self.command_line.emplace_back("brood");
  detail::note_world(self);
  sys::getrlimit(RLIMIT_NOFILE, &self.descriptor_limit);
  sys::prctl(PR_GET_NAME, self.program_name);
  sys::sigprocmask(SIG_SETMASK, nullptr, &self.signal_mask);
  if (sys::getrandom(self.authkey.data(), self.authkey.size()) != static_cast<ssize_t>(self.authkey.size())) {
    sys::throw_errno("getrandom");
  }
}

/// Whether a program with more rights than whoever started it (AT_SECURE: set-user-ID, capabilities) was started by its own
/// family all the same. Its user could give it descriptors and a request of his own, and with them call any function in it. What
/// he cannot make is a socket pair with the rights that the program has: so the results socket must have been made by this
/// process's parent, under the ids that this process has.
bool is_started_by_family() {
  if (getauxval(AT_SECURE) == 0 || getuid() == 0) return true;
  ucred maker{};
  socklen_t size = sizeof maker;
  if (sys::getsockopt(detail::exec_fd::results, SOL_SOCKET, SO_PEERCRED, &maker, &size) != 0) return false;
  const bool same = maker.pid == getppid() && maker.uid == geteuid() && maker.gid == getegid();
  return same && (geteuid() == 0 || sys::credentials::of_this_thread().no_capability());
}

void refuse_strangers() {
  if (is_started_by_family()) return;
  fmt::print(stderr,
             "brood: {} is for the program's own children: it was started by somebody with fewer rights\n",
             detail::internal_flag);
  _exit(detail::cannot_start);
}

/// The signal mask of children is the one it was executed with. The limit on descriptors is not, as the runtime of whoever
/// executed it has raised it.
[[noreturn]] void serve_as_fresh_image(rlim_t descriptors, std::string_view credentials) {
  family& self = family::get();
  self.descriptor_limit.rlim_cur = std::min(descriptors, self.descriptor_limit.rlim_max);
  sys::setrlimit(RLIMIT_NOFILE, &self.descriptor_limit);
  sys::credentials of_parent;
  const auto next = [&](std::uint32_t& word) {
    const std::size_t comma = std::min(credentials.find(','), credentials.size());
    std::from_chars(credentials.data(), credentials.data() + comma, word, 16);
    credentials.remove_prefix(std::min(credentials.size(), comma + 1));
  };
  next(of_parent.saved_user);
  next(of_parent.saved_group);
  for (auto& word : of_parent.capabilities) next(word);
  of_parent.adopt();  // which execve has changed; the parent looks at the outcome
  for (int fd = detail::exec_fd::first; fd < detail::exec_fd::end; ++fd) sys::fcntl(fd, F_SETFD, FD_CLOEXEC);
  sys::block_all_signals();
  family_memory::attach(detail::exec_fd::arena);
  detail::serve({unique_fd(detail::exec_fd::request), unique_fd(detail::exec_fd::results),
                 unique_fd(detail::exec_fd::parent), unique_fd(detail::exec_fd::spawn_table),
                 self.signal_mask, true});
}

/// What BROOD_TRACE names. Only this family's: a program that it starts would write over the file.
std::string take_trace_path() {
  const char* variable = secure_getenv("BROOD_TRACE");  // not for a program with more rights than its user
  std::string path = variable != nullptr ? variable : "";
  unsetenv("BROOD_TRACE");
  return path;
}

/// The application under a scope that signals stop.
class cancellable_application {
 public:
  cancellable_application(runtime& loop, stop_signals what)
      : loop_(loop), tells_first_(what == stop_signals::event) {
    detail::stopping::forget_signal();
    if (what == stop_signals::off) return;
    interrupt_.emplace(loop, SIGINT, [this] { on_signal(SIGINT); });
    terminate_.emplace(loop, SIGTERM, [this] { on_signal(SIGTERM); });
  }

  task<int> run(task<int> application) {
    application.set_scope(scope_);
    int code = 1;
    try {
      code = co_await std::move(application);
    } catch (const cancelled&) {
      if (signal_ == 0) fmt::print(stderr, "brood: the application was cancelled\n");
    } catch (...) {
      fmt::print(stderr, "brood: the application failed: {}\n",
                 detail::on_one_line(detail::describe(std::current_exception())));
    }
    if (auto* supervisor = runtime::current().find<detail::supervisor>()) {
      const bool joined = co_await join_children(*supervisor);
      if (!joined) co_await supervisor->end_children(true);
    }
    co_return signal_ != 0 ? 128 + signal_ : code;
  }

 private:
  /// False if a signal came first.
  task<bool> join_children(detail::supervisor& supervisor) {
    auto joined = supervisor.end_children(false);
    joined.set_scope(scope_);
    try {
      co_await std::move(joined);
    } catch (const cancelled&) {
      co_return false;
    }
    co_return signal_ == 0;
  }

  void on_signal(int signal) {
    detail::stopping::note_signal(loop_);
    if (!std::exchange(tells_first_, false)) cancel(signal);
  }

  void cancel(int signal) {
    signal_ = signal;
    interrupt_.reset();  // the default action is back: one more signal ends the process
    terminate_.reset();
    scope_.request_stop();
  }

  runtime& loop_;
  bool tells_first_;
  detail::linked_scope scope_{nullptr};
  int signal_ = 0;
  std::optional<signal_watch> interrupt_;
  std::optional<signal_watch> terminate_;
};

}  // namespace

void init(int argc, char** argv, options settings) {
  family& self = family::get();
  if (self.initialized) throw std::logic_error("brood::init was called twice");
  sys::fill_standard_streams();
  sys::remember_own_image();
  remember_start(self, argc, argv, settings);
  if (argc >= 3 && argv[1] == std::string_view(detail::internal_flag)) {
    refuse_strangers();
    if (argv[2] == std::string_view(detail::internal_function)) detail::begin_executed_child();
    if (argc >= 5 && argv[2] == std::string_view(detail::internal_server))
      serve_as_fresh_image(std::stoull(argv[3]), argv[4]);
  }
  family_memory::create(settings.arena_size);
  const auto begin = clock::now();
  detail::ensure_server(self);
  detail::log_debug("the fork server {} serves after {:.3f} ms; children are made by {}", self.server->server,
                    std::chrono::duration<double, std::milli>(clock::now() - begin).count(),
                    settings.model == process_model::exec ? "exec"
                    : self.server->siblings               ? "clone"
                                                          : "fork");
}

namespace detail {
namespace {

/// A family begins once: later applications of the process are of the same.
void begin_family(int argc, char** argv, const options& settings) {
  const family& self = family::get();
  if (!self.initialized) {
    init(argc, argv, settings);
  } else if (settings != options() && settings != self.settings) {
    throw std::logic_error("brood::run: this process began its family with other settings");
  }
}

}  // namespace

std::vector<std::string> command_line() { return family::get().command_line; }

int run_application(int argc, char** argv, const options& settings, std::function<task<int>()> application) {
  try {
    const std::string trace = take_trace_path();
    begin_family(argc, argv, settings);
    std::optional<runtime> own;
    if (runtime::current_or_null() == nullptr) own.emplace();  // otherwise the one that `sync_wait` has made
    runtime& loop = runtime::current();
    if (!trace.empty()) loop.trace(trace);
    cancellable_application cancellable(loop, family::get().settings.signals);
    return loop.run_until_complete(cancellable.run(application()));
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}

}  // namespace detail
}  // namespace brood
