// Everything here runs in a process that has just been made and may be killed at any line: nothing is left behind but
// its slot, which the parent clears.
#include "process/child_main.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "brood/process/current.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "process/family.hpp"
#include "system/error.hpp"
#include "system/memory_file.hpp"
#include "system/pidfd.hpp"
#include "system/signals.hpp"
#include "system/socket.hpp"

namespace brood::detail {
namespace {

constexpr int cannot_start = 127;

/// A step of the set-up failed.
struct setup_failure {
  stage at;
  int error;
};

void require(bool success, stage at) {
  if (!success) throw setup_failure{at, errno};
}

/// Ties the child's life to its parent's.
void enter_family(const child_setup& setup) {
  require(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, stage::session);
  // The parent may have died before the line above. Its pidfd tells for certain, which getppid() does not.
  if (sys::has_ended(setup.parent.get())) _exit(cannot_start);
  // A group of its own: the whole of what the child starts can be killed together, and a terminal's Ctrl-C reaches
  // the parent alone, which decides.
  if (setup.request.own_group) require(setpgid(0, 0) == 0, stage::session);
}

int open_stream(int number, stream_source source, const std::string& path) {
  // Non-blocking, as the fork server waits for a program's start: a FIFO must not keep it. Cleared again below.
  const int how = (number == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC | O_NONBLOCK;
  if (source == stream_source::null) return open("/dev/null", how);
  if (number == 0) return open(path.c_str(), how);
  return open(path.c_str(), how | O_CREAT | (source == stream_source::append ? O_APPEND : O_TRUNC), 0666);
}

void make_streams(child_setup& setup, const launch_details& details) {
  auto passed = setup.streams.begin();
  for (int number = 0; number < 3; ++number) {
    const auto index = static_cast<std::size_t>(number);
    const stream_source source = setup.request.streams[index];
    if (source == stream_source::keep) continue;
    unique_fd from;
    if (source == stream_source::passed) {
      from = std::move(*passed++);
    } else {
      from = unique_fd(open_stream(number, source, details.stream_paths[index]));
      require(from && fcntl(from.get(), F_SETFL, fcntl(from.get(), F_GETFL) & ~O_NONBLOCK) == 0, stage::standard_stream);
    }
    require(dup2(from.get(), number) == number, stage::standard_stream);
  }
  setup.streams.clear();
}

void make_environment(const launch_options& options) {
  if (options.clear_env) require(clearenv() == 0, stage::environment);
  for (const auto& name : options.unset_env) unsetenv(name.c_str());
  for (const auto& [name, value] : options.env) {
    require(setenv(name.c_str(), value.c_str(), 1) == 0, stage::environment);
  }
}

int rlimit_of(resource what) noexcept {
  switch (what) {
    case resource::cpu_time: return RLIMIT_CPU;
    // Private memory, not address space: the family's shared memory is a mapping of many GiB that costs nothing.
    case resource::memory: return RLIMIT_DATA;
    case resource::files: return RLIMIT_NOFILE;
    case resource::file_size: return RLIMIT_FSIZE;
    case resource::stack: return RLIMIT_STACK;
    case resource::core: return RLIMIT_CORE;
    case resource::processes: return RLIMIT_NPROC;
  }
  return -1;
}

/// The limit this family was started with: the runtime raised the parent's, which programs that use select(2) do not
/// survive.
void restore_descriptor_limit() {
  const rlimit& original = family::get().descriptor_limit;
  if (original.rlim_max != 0) setrlimit(RLIMIT_NOFILE, &original);
}

void set_limits(const launch_options& options) {
  for (const auto& [what, value] : options.limits) {
    // One second more to the hard limit of CPU time, so that SIGXCPU comes before SIGKILL, setrlimit(2).
    const rlimit limit{value, what == resource::cpu_time ? value + 1 : value};
    require(setrlimit(static_cast<__rlimit_resource>(rlimit_of(what)), &limit) == 0, stage::setrlimit);
  }
}

void set_scheduling(const launch_options& options) {
  if (options.nice) require(setpriority(PRIO_PROCESS, 0, *options.nice) == 0, stage::setpriority);
  if (options.cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : options.cpus) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) throw setup_failure{stage::sched_setaffinity, EINVAL};
    CPU_SET(cpu, &set);
  }
  require(sched_setaffinity(0, sizeof set, &set) == 0, stage::sched_setaffinity);
}

void apply(child_setup& setup, const launch_details& details) {
  if (details.options.detached) {
    require(setsid() >= 0, stage::session);
  } else {
    enter_family(setup);
  }
  make_streams(setup, details);
  make_environment(details.options);
  if (!details.options.cwd.empty()) require(chdir(details.options.cwd.c_str()) == 0, stage::chdir);
  set_scheduling(details.options);
  if (setup.request.kind == launch_kind::program) restore_descriptor_limit();
  set_limits(details.options);
}

/// argv for execv: pointers into `words`.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

void close_on_exec_from(int lowest) {
  // Linux 5.11. Where it is missing, our own descriptors are close-on-exec anyhow.
  syscall(SYS_close_range, lowest, ~0u, CLOSE_RANGE_CLOEXEC);
}

[[noreturn]] void execute_program(launch_details& details) {
  close_on_exec_from(exec_fd::first);
  auto arguments = pointers_to(details.command);
  execvp(arguments[0], arguments.data());
  throw setup_failure{stage::execve, errno};
}

/// Moves a descriptor out of the numbers that exec_fd assigns, then to its own.
void place_descriptors(std::initializer_list<std::pair<int, int>> wanted) {
  std::vector<std::pair<int, int>> moved;
  for (const auto& [fd, number] : wanted) {
    const int safe = fcntl(fd, F_DUPFD_CLOEXEC, exec_fd::end);
    require(safe >= 0, stage::execve);
    moved.emplace_back(safe, number);
  }
  for (const auto& [fd, number] : moved) require(dup2(fd, number) == number, stage::execve);
}

[[noreturn]] void execute_own_image(const child_setup& setup) {
  std::vector<std::byte> message(sizeof(launch_request) + setup.body.size());
  std::memcpy(message.data(), &setup.request, sizeof(launch_request));
  std::memcpy(message.data() + sizeof(launch_request), setup.body.data(), setup.body.size());
  const unique_fd file = sys::memory_file(message);
  place_descriptors({{file.get(), exec_fd::request},
                     {setup.results.get(), exec_fd::results},
                     {setup.parent.get(), exec_fd::parent},
                     {setup.table_file, exec_fd::spawn_table}});
  close_on_exec_from(exec_fd::end);
  std::vector<std::string> words{family::get().command_line.at(0), internal_flag, internal_function};
  auto arguments = pointers_to(words);
  execv("/proc/self/exe", arguments.data());
  throw setup_failure{stage::execve, errno};
}

void report(int results, const launch_request& request, decltype(child_report::kind) kind,
            std::span<const std::byte> body) noexcept {
  try {
    child_report message;
    message.kind = kind;
    message.id = request.id;
    if (body.size() <= largest_inline_body) {
      sys::send_message(results, {sys::bytes_of(message), body});
      return;
    }
    message.body_in_file = true;
    const unique_fd file = sys::memory_file(body);
    const int fd = file.get();
    sys::send_message(results, {sys::bytes_of(message)}, {&fd, 1});
  } catch (const std::exception& e) {
    fmt::print(stderr, "brood: {} could not report its result: {}\n", family::get().name(), e.what());
    leave_child(1);
  }
}

/// Runs the function and reports how it ended; gives the exit code.
int run_function(int results, const launch_request& request, std::span<const std::byte> arguments) {
  using what = decltype(child_report::kind);
  what kind = what::exception;
  thrown failure;
  try {
    const function_entry entry = entry_of(request.function);
    report(results, request, what::value, entry(arguments));
    return 0;
  } catch (const argument_error& e) {
    kind = what::cannot_decode;
    failure.what = e.what();
  } catch (const unknown_function& e) {
    kind = what::unknown_function;
    failure.what = e.what();
  } catch (const std::exception& e) {
    failure.type = type_name(typeid(e));
    failure.what = e.what();
  } catch (...) {
    failure.type = describe(std::current_exception());
  }
  fmt::print(stderr, "brood: {} (pid {}) failed: {}{}{}\n", family::get().name(), getpid(), failure.type,
             failure.type.empty() || failure.what.empty() ? "" : ": ", failure.what);
  report(results, request, kind, encode(failure));
  return 1;
}

/// In a child that is set up: becomes a member of the family of its own and runs its function.
[[noreturn]] void run_child(const launch_request& request, std::span<const std::byte> body, unique_fd results,
                            unique_fd parent) {
  family& self = family::get();
  self.is_child = true;
  self.parent_pid = request.parent;
  self.parent_pidfd = std::move(parent);
  self.encoded_details = body.first(request.details_size);
  self.daemon = request.daemon;
  self.last_name = 0;
  const auto arguments = body.subspan(request.details_size);
  if (request.confirm) report(results.get(), request, child_report::what::ready, {});
  leave_child(run_function(results.get(), request, arguments));
}

bytes rehearsed_function(std::span<const std::byte>) { return {}; }

[[noreturn]] void fail(spawn_slot& slot, setup_failure failure) noexcept {
  slot.error = failure.error;
  std::atomic_ref(slot.failed).store(failure.at, std::memory_order_release);
  _exit(cannot_start);
}

setup_failure failure_of(const std::exception_ptr& caught) noexcept {
  try {
    std::rethrow_exception(caught);
  } catch (const setup_failure& failure) {
    return failure;
  } catch (const std::system_error& e) {
    return {stage::session, e.code().value()};
  } catch (const std::bad_alloc&) {
    return {stage::session, ENOMEM};
  } catch (...) {
    return {stage::decode, EBADMSG};
  }
}

}  // namespace

void rehearse() {
  static_cast<void>(entry_of(token_of(&rehearsed_function)));
  flush_standard_streams();
  setpgid(0, 0);  // a terminal's signals are not the server's either
}

void begin_child(child_setup setup) noexcept {
  try {
    if (setup.identity != nullptr) setup.identity->renew();
    close(setup.control);
    if (setup.request.plain && setup.request.kind == launch_kind::function) {
      enter_family(setup);
      sys::set_signal_mask(setup.mask);
      run_child(setup.request, setup.body, std::move(setup.results), std::move(setup.parent));
    }
    auto details = decode<launch_details>(setup.body.first(setup.request.details_size));
    apply(setup, details);
    sys::set_signal_mask(setup.mask);
    if (setup.request.kind == launch_kind::program) execute_program(details);
    if (setup.request.kind == launch_kind::exec_function) execute_own_image(setup);
    run_child(setup.request, setup.body, std::move(setup.results), std::move(setup.parent));
  } catch (...) {
    fail(*setup.slot, failure_of(std::current_exception()));
  }
}

void begin_executed_child() noexcept {
  spawn_slot* slot = nullptr;
  try {
    for (int fd = exec_fd::first; fd < exec_fd::end; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
    const unique_fd file(exec_fd::request);
    const sys::mapped_file message = sys::map_whole(file.get());
    launch_request request;
    std::memcpy(&request, message.data(), sizeof request);
    static const spawn_table table(exec_fd::spawn_table);
    slot = &table[request.slot];
    close(exec_fd::spawn_table);
    const auto body = message.contents().subspan(sizeof request);
    run_child(request, body, unique_fd(exec_fd::results), unique_fd(exec_fd::parent));
  } catch (...) {
    if (slot != nullptr) fail(*slot, failure_of(std::current_exception()));
    _exit(cannot_start);
  }
}

}  // namespace brood::detail
