#include "brood/process/current.hpp"

#include <unistd.h>
#include <ext/stdio_sync_filebuf.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <typeinfo>

#include "brood/channel/authkey.hpp"
#include "brood/runtime/runtime.hpp"
#include "process/family.hpp"
#include "process/supervisor.hpp"
#include "runtime/trace_file.hpp"
#include "system/calls.hpp"
#include "system/pidfd.hpp"
#include "system/processors.hpp"
#include "system/stdio.hpp"

namespace brood {
namespace {

using detail::family;

[[gnu::hot]] void run_exit_hooks() noexcept {
  auto& hooks = family::get().exit_hooks;
  while (!hooks.empty()) {
    const auto hook = std::move(hooks.back());
    hooks.pop_back();
    hook();
  }
}

/// True while std::cout has no buffer of its own but writes to stdout, as it does unless sync_with_stdio(false).
[[gnu::hot]] bool cout_is_stdout() {
  const std::streambuf& buffer = *std::cout.rdbuf();
  return typeid(buffer) == typeid(__gnu_cxx::stdio_sync_filebuf<char>);
}

[[noreturn, gnu::hot]] void end_child_process(int code) noexcept {
  run_exit_hooks();
  if (detail::tracing != nullptr) [[unlikely]]
    detail::trace_file::flush();
  detail::flush_standard_streams();
  // Not exit(): the static destructors of the image are the parent's affair. By number, as this call would be the only
  // one to look up `_exit`, which costs a child more than the rest of its end.
  sys::exit_group(code);
}

}  // namespace

pid_t this_process::pid() const noexcept { return getpid(); }
const std::string& this_process::name() const noexcept { return family::get().name(); }
bool this_process::daemon() const noexcept { return family::get().daemon; }
std::span<const std::byte> this_process::authkey() const noexcept { return family::get().authkey; }
this_process current_process() noexcept { return {}; }

authkey::authkey() : authkey(family::get().authkey) {
  if (!family::get().initialized && !family::get().is_child) {
    throw std::logic_error("brood: this process has no authentication key before brood::init or brood::run");
  }
}

pid_t parent::pid() const noexcept { return family::get().parent_pid; }
const std::string& parent::name() const noexcept { return family::get().parent_name(); }
bool parent::is_alive() const noexcept { return !sys::has_ended(family::get().parent_pidfd.get()); }

std::optional<parent> parent_process() noexcept {
  return family::get().is_child ? std::optional(parent()) : std::nullopt;
}

std::vector<process_handle> active_children() {
  std::vector<process_handle> result;
  auto* supervisor = runtime::current().find<detail::supervisor>();
  if (supervisor == nullptr) return result;
  for (auto& child : supervisor->children())
    result.push_back(detail::supervisor::handle_of(std::move(child)));
  return result;
}

int cpu_count() { return sys::processor_capacity(); }

void exit(int code) {
  if (!family::get().is_child) std::exit(code);
  end_child_process(code);
}

void at_exit(std::function<void()> hook) { family::get().exit_hooks.push_back(std::move(hook)); }

pid_t fork_server_pid() noexcept { return family::get().server ? family::get().server->server : 0; }

namespace detail {

fork_server_count fork_servers() {
  fork_server_count found;
  if (const auto& connection = family::get().server) {
    if (connection->server != 0) found.pids.push_back(connection->server);
    if (connection->heir) found.pids.push_back(connection->heir->pid);
    // Made by the server, which has not been heard to say so: an heir on its way, the canary of a server that starts.
    for (const pid_t made : {connection->table.heir(connection->generation), connection->table.canary()}) {
      if (made > 0) found.pids.push_back(made);
    }
    found.descriptors =
        (connection->control ? 1 : 0) + (connection->server_pidfd ? 1 : 0) + (connection->heir ? 2 : 0);
  }
  return found;
}

[[gnu::hot]] void flush_standard_streams() noexcept {
  if (!cout_is_stdout()) {
    std::cout.flush();
    std::cerr.flush();
  }
  sys::flush_streams();
}

[[gnu::hot]] void leave_child(int code) noexcept {
  if (runtime* loop = runtime::current_or_null()) loop->shut_down();
  end_child_process(code);
}

}  // namespace detail
}  // namespace brood
