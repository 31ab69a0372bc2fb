// The life of a child that runs a function.
#include "process/child_main.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "brood/arena/family_memory.hpp"
#include "brood/process/current.hpp"
#include "brood/runtime/detail/describe.hpp"
#include "process/family.hpp"
#include "process/stopping.hpp"
#include "runtime/log.hpp"
#include "runtime/throw_trace.hpp"
#include "runtime/trace_file.hpp"
#include "system/calls.hpp"
#include "system/execute.hpp"
#include "system/memory_file.hpp"
#include "system/pidfd.hpp"
#include "system/signals.hpp"
#include "system/socket.hpp"

namespace brood::detail {
namespace {

void make_environment(const launch_options& options) {
  if (options.clear_env) require(clearenv() == 0, stage::environment);
  for (const auto& [name, value] : options.env) {
    require((value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str())) == 0,
            stage::environment);
  }
}

/// Moves a descriptor out of the numbers that exec_fd assigns, then to its own.
void place_descriptors(std::initializer_list<std::pair<int, int>> wanted) {
  std::vector<std::pair<int, int>> moved;
  for (const auto& [fd, number] : wanted) {
    const int safe = sys::fcntl(fd, F_DUPFD_CLOEXEC, exec_fd::end);
    require(safe >= 0, stage::execve);
    moved.emplace_back(safe, number);
  }
  for (const auto& [fd, number] : moved) require(sys::dup2(fd, number) == number, stage::execve);
}

[[noreturn]] void execute_own_image(const child_setup& setup) {
  std::vector<std::byte> message(sizeof(launch_request) + setup.body.size());
  launch_request request = setup.request;
  request.credentials = sys::credentials::of_this_thread();
  std::memcpy(message.data(), &request, sizeof(launch_request));
  std::memcpy(message.data() + sizeof(launch_request), setup.body.data(), setup.body.size());
  const unique_fd file = sys::memory_file(message);
  place_descriptors({{file.get(), exec_fd::request},
                     {setup.results, exec_fd::results},
                     {setup.parent, exec_fd::parent},
                     {setup.table_file, exec_fd::spawn_table},
                     {family_memory::fd(), exec_fd::arena}});
  close_on_exec_from(exec_fd::end);
  std::string program = family::get().command_line.at(0);
  std::string flag = internal_flag;
  std::string role = internal_function;
  char* arguments[] = {program.data(), flag.data(), role.data(), nullptr};
  sys::execv(sys::own_image(), arguments);
  throw setup_failure{stage::execve, errno};
}

[[gnu::hot]] void report(int results, const launch_request& request, decltype(child_report::kind) kind,
                         std::span<const std::byte> body, std::uint32_t objects = 0) noexcept {
  try {
    child_report message;
    message.kind = kind;
    message.id = request.id;
    message.objects = objects;
    if (body.size() <= largest_inline_body) {
      sys::send_surely(results, family::get().parent_pidfd.get(), {sys::bytes_of(message), body});
      return;
    }
    message.body_in_file = true;
    const unique_fd file = sys::memory_file(body);
    const int fd = file.get();
    // The parent takes them out of its socket one by one; nothing tells when there is room.
    const int parent = family::get().parent_pidfd.get();
    for (int pause = 1; sys::send_surely(results, parent, {sys::bytes_of(message)}, {&fd, 1}) ==
                            sys::transfer::too_many_in_flight &&
                        !sys::await_end(parent, pause);)
      pause = std::min(2 * pause, 64);
  } catch (const std::exception& e) {
    log_error("{} could not report its result: {}", family::get().name(), e.what());
    leave_child(1);
  }
}

/// A result that holds handles: their names go first. The objects are kept to the very end, so that the parent finds
/// them when it has read the report.
void report_with_objects(int results, const launch_request& request, std::span<const std::byte> result,
                         const std::vector<std::shared_ptr<shared_object>>& objects) {
  static_cast<void>(new std::vector(objects));
  bytes body;
  for (const auto& object : objects) {
    const object_in_result entry{object->name(), object->kind()};
    const auto encoded = sys::bytes_of(entry);
    body.insert(body.end(), encoded.begin(), encoded.end());
  }
  body.insert(body.end(), result.begin(), result.end());
  report(results, request, child_report::what::value, body, static_cast<std::uint32_t>(objects.size()));
}

/// A function without captures, as a function_entry takes one.
[[gnu::hot]] void acknowledge() {
  const running_call& call = *family::get().running;
  if (call.request.acknowledge) report(call.results, call.request, child_report::what::has_arguments, {});
}

/// Runs the function and reports how it ended; gives the exit code.
[[gnu::hot]] int run_function(int results, const launch_request& request,
                              std::span<const std::byte> arguments) {
  using what = decltype(child_report::kind);
  const running_call call{results, request};
  family::get().running = &call;
  what kind = what::exception;
  thrown failure;
  try {
    const function_entry entry = entry_of(request.function);
    const travelling_objects travelling;
    const auto begin =
        tracing != nullptr ? clock::now() : clock::time_point();  // which an untraced child need not touch
    const bytes result = entry(arguments, &acknowledge);
    if (tracing != nullptr) [[unlikely]]
      trace_file::current()->stretch(getpid(), "function", begin, clock::now());
    if (travelling.objects().empty()) {
      report(results, request, what::value, result);
    } else {
      report_with_objects(results, request, result, travelling.objects());
    }
    return 0;
  } catch (const cancelled& e) {
    if (stopping::requested()) {
      report(results, request, what::cancelled, {});
      return stopping::exit_code;
    }
    failure.type = type_name(typeid(e));
    failure.what = e.what();
    failure.trace = throw_trace(std::current_exception());
  } catch (const argument_error& e) {
    kind = what::cannot_decode;
    failure.what = e.what();
  } catch (const unknown_function& e) {
    kind = what::unknown_function;
    failure.what = e.what();
  } catch (const std::exception& e) {
    failure.type = type_name(typeid(e));
    failure.what = e.what();
    failure.trace = throw_trace(std::current_exception());
  } catch (...) {
    failure.type = describe(std::current_exception());
    failure.trace = throw_trace(std::current_exception());
  }
  if (logging.level >= log_level::errors) {
    write_log_line(fmt::format("{} (pid {}) failed: {}{}{}", family::get().name(), getpid(), failure.type,
                               failure.type.empty() || failure.what.empty() ? "" : ": ", failure.what),
                   failure.trace);
  }
  report(results, request, kind, encode(failure));
  return 1;
}

/// In a child that is set up: becomes a member of the family of its own and runs its function.
[[noreturn, gnu::hot]] void run_child(const launch_request& request, std::span<const std::byte> body,
                                      unique_fd results, unique_fd parent) {
  family& self = family::get();
  self.is_child = true;
  self.parent_pid = request.parent;
  self.parent_pidfd = std::move(parent);
  self.encoded_details = body.first(request.details_size);
  self.daemon = request.daemon;
  self.authkey = request.authkey;
  self.last_name = 0;
  family_memory::adopt_slot_when_needed(request.in_memory);
  if (request.traced) trace_file::join(decode<launch_details>(self.encoded_details).trace);
  const auto arguments = body.subspan(request.details_size);
  if (request.confirm) report(results.get(), request, child_report::what::ready, {});
  leave_child(run_function(results.get(), request, arguments));
}

bytes rehearsed_function(std::span<const std::byte>, void (*)()) { return {}; }

}  // namespace

void rehearse() {
  static_cast<void>(entry_of(token_of(&rehearsed_function)));
  flush_standard_streams();
  static_cast<void>(has_objects());
  stopping::install_handler();
  sys::setpgid(0, 0);  // a terminal's signals are not the server's either
}

[[gnu::hot]] void begin_child(const child_setup& setup) noexcept {
  try {
    if (setup.identity != nullptr) setup.identity->renew();
    sys::close(setup.control);
    sys::prctl(PR_SET_NAME, family::get().program_name);
    stopping::begin_child(setup.slot);
    aim_crash_handlers(setup.crash);
    if (setup.request.plain && setup.request.kind == launch_kind::function) {
      enter_family(setup);
      sys::set_signal_mask(setup.mask);
    } else {
      auto details = decode<launch_details>(setup.body.first(setup.request.details_size));
      apply(setup, details);
      make_environment(details.options);
      for (const int fd : setup.streams) sys::close(fd);
      set_signals(setup, details.options);
    }
    if (setup.request.kind == launch_kind::exec_function) execute_own_image(setup);
    run_child(setup.request, setup.body, unique_fd(setup.results), unique_fd(setup.parent));
  } catch (...) {
    fail(setup.slot, current_failure());
  }
}

void begin_executed_child() noexcept {
  spawn_slot* slot = nullptr;
  try {
    for (int fd = exec_fd::first; fd < exec_fd::end; ++fd) sys::fcntl(fd, F_SETFD, FD_CLOEXEC);
    const unique_fd file(exec_fd::request);
    const sys::mapped_file message = sys::map_whole(file.get());
    launch_request request;
    std::memcpy(&request, message.data(), sizeof request);
    request.credentials.adopt();
    static const spawn_table table(exec_fd::spawn_table);
    slot = &table[request.slot];
    stopping::begin_child(*slot);
    stopping::install_handler();
    aim_crash_handlers(table.crash_target_of(*slot));
    install_crash_handlers();
    // The kernel forgets it where execve has changed credentials.
    if (request.tied && slot->detached == 0) sys::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (slot->detached == 0 && sys::has_ended(exec_fd::parent)) _exit(cannot_start);
    sys::close(exec_fd::spawn_table);
    family_memory::attach(exec_fd::arena);
    const auto body = message.contents().subspan(sizeof request);
    run_child(request, body, unique_fd(exec_fd::results), unique_fd(exec_fd::parent));
  } catch (...) {
    if (slot != nullptr) fail(*slot, current_failure());
    _exit(cannot_start);
  }
}

}  // namespace brood::detail
