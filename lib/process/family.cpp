#include "process/family.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/single_threaded.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <new>
#include <utility>

#include "brood/arena/family_memory.hpp"
#include "brood/process/exit_status.hpp"
#include "process/fork_server.hpp"
#include "system/calls.hpp"
#include "system/clone.hpp"
#include "system/error.hpp"
#include "system/execute.hpp"
#include "system/signals.hpp"
#include "system/socket.hpp"

extern char** environ;

namespace brood::detail {
namespace {

/// A clone of a process with more threads could hold locks that nobody is left to release.
bool has_one_thread() {
  if (__libc_single_threaded) return true;  // true is certain, and needs no /proc
  struct stat tasks{};
  return sys::stat("/proc/self/task", &tasks) == 0 &&
         tasks.st_nlink == 3;  // a folder for each thread, and two
}

unique_fd duplicate(int fd, int lowest) {
  unique_fd copy(sys::fcntl(fd, F_DUPFD_CLOEXEC, lowest));
  if (!copy) sys::throw_errno("fcntl");
  return copy;
}

struct server_ends {
  unique_fd control;
  unique_fd parent;
};

/// The server as a clone of this process, which is small and has one thread. Its exit signal is none, and its children
/// inherit that: the host never sees SIGCHLD for them, and its own waitpid(-1) cannot take their statuses.
pid_t clone_server(server_connection& connection, server_ends ends) {
  std::fflush(nullptr);
  std::cout.flush();
  const sigset_t mask = sys::block_all_signals();  // until the server has put the handlers back
  sys::thread_identity identity;
  const bool found = sys::thread_identity::find(identity);
  sys::clone_request how;
  how.identity = found ? &identity : nullptr;
  const pid_t server = found ? sys::clone_process(how) : sys::fork();
  if (server == 0) {
    if (found) identity.renew();
    connection.table = spawn_table();  // it maps it again, and every mapping costs every child
    serve({std::move(ends.control), std::move(connection.results_of_children), std::move(ends.parent),
           std::move(connection.table_file), family::get().signal_mask});
  }
  const int error = errno;
  sys::set_signal_mask(mask);
  if (server < 0) sys::throw_errno("brood: cannot start the fork server: clone", error);
  return server;
}

/// The server from a fresh image of the program, for processes that cannot be cloned.
pid_t execute_server(server_connection& connection, const server_ends& ends) {
  // Out of the way of the numbers they are to get.
  const unique_fd control = duplicate(ends.control.get(), exec_fd::end);
  const unique_fd results = duplicate(connection.results_of_children.get(), exec_fd::end);
  const unique_fd parent = duplicate(ends.parent.get(), exec_fd::end);
  const unique_fd table = duplicate(connection.table_file.get(), exec_fd::end);
  const unique_fd arena = duplicate(family_memory::fd(), exec_fd::end);
  const auto own = sys::credentials::of_this_thread();
  std::string credentials = fmt::format("{:x},{:x}", own.saved_user, own.saved_group);
  for (const std::uint32_t word : own.capabilities) credentials += fmt::format(",{:x}", word);
  const std::pair<int, int> descriptors[] = {{control.get(), exec_fd::request},
                                             {results.get(), exec_fd::results},
                                             {parent.get(), exec_fd::parent},
                                             {table.get(), exec_fd::spawn_table},
                                             {arena.get(), exec_fd::arena}};
  family& self = family::get();
  std::string words[] = {self.command_line.at(0), internal_flag, internal_server,
                         std::to_string(self.descriptor_limit.rlim_cur), credentials};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::vector<char*> environment;
  for (std::string& entry : self.environment) environment.push_back(entry.data());
  environment.push_back(nullptr);
  // In the world as it was when the family began: what has changed since goes with each launch.
  const pid_t server = sys::execute({sys::own_image(), arguments.data(), environment.data(),
                                     self.directory.c_str(), descriptors, self.signal_mask});
  if (server < 0) {
    sys::throw_errno(fmt::format("brood: cannot start the fork server: execute {} in {}", sys::own_image(),
                                 self.directory));
  }
  return server;
}

void await_hello(server_connection& connection) {
  std::array<std::byte, largest_message> buffer;
  sys::received message;
  sys::transfer got;
  while ((got = sys::receive_message(connection.control.get(), buffer, message)) ==
         sys::transfer::would_block) {
    pollfd ready{connection.control.get(), POLLIN, 0};
    sys::poll(&ready, 1, -1);
  }
  if (got == sys::transfer::gone) throw error("brood: the fork server ended before it could serve");
  accept_hello(connection, std::span(buffer).first(message.size));
}

void open_channels(server_connection& connection) {
  auto [results, results_of_children] = sys::socket_pair();
  connection.results = std::move(results);
  connection.results_of_children = std::move(results_of_children);
  struct stat status{};
  if (sys::fstat(connection.results.get(), &status) != 0) sys::throw_errno("fstat");
  connection.results_file = status.st_ino;
  sys::standing_reader().read(connection.standing);
  connection.table_file = spawn_table::make_file();
  connection.table = spawn_table(connection.table_file.get());
}

}  // namespace

[[gnu::hot]] family& family::get() noexcept {
  // Never destroyed, as it is used until the very end of the process; and no allocation that could be refused.
  alignas(family) static std::byte place[sizeof(family)];
  static family& the_family = *new (place) family;
  return the_family;
}

const std::string& family::name() {
  decode_names();
  return name_;
}

const std::string& family::parent_name() {
  decode_names();
  return parent_name_;
}

void family::decode_names() {
  if (encoded_details.empty()) return;
  auto details = decode<launch_details>(encoded_details);
  name_ = std::move(details.name);
  parent_name_ = std::move(details.parent_name);
  encoded_details = {};
}

void reap_canary(const server_connection& connection) noexcept {
  const pid_t canary = std::exchange(connection.table.canary(), 0);
  if (canary > 0) sys::await_and_reap(canary, -1);
}

void accept_hello(server_connection& connection, std::span<const std::byte> message) {
  launch_reply hello;
  std::memcpy(&hello, message.data(), sizeof hello);
  reap_canary(connection);
  if (hello.failed != stage::none) {
    const auto text = message.subspan(sizeof hello);
    throw error("brood: " + std::string(reinterpret_cast<const char*>(text.data()), text.size()));
  }
  if (hello.error != 0) {
    throw std::system_error(
        hello.error, std::system_category(),
        "brood: the process model `siblings` was asked for and clone3 with CLONE_PARENT fails");
  }
  // From a fresh image. One of root, for example, has capabilities again that this process has given up.
  const auto text = message.subspan(sizeof hello);
  sys::standing of_server;
  of_server.ids.assign(reinterpret_cast<const char*>(text.data()), hello.id);
  of_server.place.assign(reinterpret_cast<const char*>(text.data()) + hello.id, text.size() - hello.id);
  if (!text.empty() && !of_server.is_identical(connection.standing)) {
    throw error(
        "brood: cannot start a child: this process's credentials, namespaces or filters have changed since "
        "its fork "
        "server was started, and a new one from a fresh image of the program does not get the same");
  }
  connection.siblings = hello.siblings;
}

void require_descriptors(server_connection& connection) {
  struct stat status{};
  const bool open = sys::fstat(connection.results.get(), &status) == 0;
  if (!open && errno != EBADF) sys::throw_errno("fstat");
  if (open && status.st_ino == connection.results_file) return;
  for (unique_fd* each : {&connection.control, &connection.results, &connection.results_of_children,
                          &connection.table_file, &connection.server_pidfd}) {
    static_cast<void>(each->release());  // somebody else's by now
  }
  throw std::logic_error(
      "brood: this process's descriptors have been closed since it began its family (closefrom, "
      "close_range?): close "
      "them before brood::init, or spare those that are close-on-exec");
}

void start_server(server_connection& connection, bool by_clone) {
  auto [control, control_of_server] = sys::socket_pair();
  server_ends ends{std::move(control_of_server), sys::open_process(getpid())};
  if (!ends.parent) sys::throw_errno("pidfd_open");
  connection.control = std::move(control);
  connection.by_first_thread = getpid() == gettid();
  if (by_clone) note_world(family::get());
  connection.server = by_clone ? clone_server(connection, std::move(ends)) : execute_server(connection, ends);
  connection.server_pidfd = sys::open_process(connection.server);
  if (connection.server_pidfd) return;
  const int error = errno;
  sys::kill(connection.server, SIGKILL);
  sys::throw_errno("brood: cannot start the fork server: pidfd_open", error);
}

void ensure_server(family& self) {
  if (!self.initialized) {
    throw std::logic_error(
        "brood: spawning needs the fork server: call brood::init(argc, argv) first thing in main, or use "
        "brood::run");
  }
  if (self.server) return require_descriptors(*self.server);
  auto connection = std::make_unique<server_connection>();
  open_channels(*connection);
  try {
    start_server(*connection, has_one_thread());
    await_hello(*connection);
  } catch (...) {
    connection->control.reset();
    if (connection->server != 0) {
      sys::kill(connection->server, SIGKILL);
      sys::await_and_reap(connection->server, connection->server_pidfd.get());
    }
    throw;
  }
  self.server = std::move(connection);
}

namespace {

bool environment_is(const std::vector<std::string>& expected) noexcept {
  std::size_t i = 0;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry, ++i) {
    if (i == expected.size() || expected[i] != *entry) return false;
  }
  return i == expected.size();
}

std::string_view name_of_entry(std::string_view entry) { return entry.substr(0, entry.find('=')); }

void add_environment_changes(const std::vector<std::string>& before, launch_options& options) {
  std::vector<std::string> now;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) now.emplace_back(*entry);
  decltype(options.env) changed;
  for (const auto& entry : now) {
    if (std::find(before.begin(), before.end(), entry) != before.end()) continue;
    const std::string_view name = name_of_entry(entry);
    changed.emplace_back(name, entry.substr(std::min(entry.size(), name.size() + 1)));
  }
  for (const auto& entry : before) {
    const std::string_view name = name_of_entry(entry);
    const auto same_name = [&](const std::string& other) { return name_of_entry(other) == name; };
    if (std::none_of(now.begin(), now.end(), same_name)) changed.emplace_back(name, std::nullopt);
  }
  changed.insert(changed.end(), options.env.begin(), options.env.end());  // the setters' come last and win
  options.env = std::move(changed);
}

}  // namespace

void note_world(family& self) {
  self.environment.clear();
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    self.environment.emplace_back(*entry);
  std::error_code error;
  self.directory = std::filesystem::current_path(error).string();
}

void add_changes_since_start(const family& self, launch_options& options) {
  char now[PATH_MAX];
  if (options.cwd.empty() && options.root.empty() && sys::getcwd(now, sizeof now) != nullptr && self.directory != now)
    options.cwd = now;
  if (!options.clear_env && !environment_is(self.environment))
    add_environment_changes(self.environment, options);
}

}  // namespace brood::detail
