#include "process/program_start.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "system/calls.hpp"

extern char** environ;

namespace brood::detail {
namespace {

// sd_listen_fds(3): LISTEN_FDS counts sockets from this number on; they are for the program whose number is LISTEN_PID, which
// only the child knows.
constexpr int first_socket = 3;
constexpr std::string_view listen_pid = "LISTEN_PID=";
constexpr std::size_t most_digits = 10;

/// For execve: pointers into `words`, and a null.
std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

bool is_entry_of(const std::string& entry, std::string_view name) {
  return entry.size() > name.size() && entry[name.size()] == '=' && entry.starts_with(name);
}

}  // namespace

program_start::program_start(const child_setup& setup)
    : setup_(setup), details_(decode<launch_details>(setup.body.first(setup.request.details_size))) {
  make_environment();
  find_candidates();
  argument_pointers_ = pointers_to(details_.command);
  if (!details_.options.arg0.empty()) argument_pointers_.front() = details_.options.arg0.data();
  environment_pointers_ = pointers_to(environment_);
}

void program_start::make_environment() {
  const launch_options& options = details_.options;
  if (!options.clear_env) {
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
      environment_.emplace_back(*entry);
  }
  const auto remove = [this](std::string_view name) {
    std::erase_if(environment_, [&](const std::string& entry) { return is_entry_of(entry, name); });
  };
  bool counts_sockets = false;
  for (const auto& [name, value] : options.env) {
    remove(name);
    if (value) environment_.push_back(name + "=" + *value);
    if (name == "LISTEN_FDS") counts_sockets = value.has_value();
  }
  // A count alone may be what the parent has in its own environment.
  if (counts_sockets && std::any_of(details_.descriptors.begin(), details_.descriptors.end(),
                                    [](const auto& given) { return given.number == first_socket; })) {
    remove("LISTEN_PID");
    environment_.emplace_back(listen_pid).append(most_digits, '\0');
    listen_pid_ = environment_.back().data() + listen_pid.size();
  }
}

/// As execvp(3), but in the PATH that the program itself is to have.
void program_start::find_candidates() {
  const std::string& name = details_.command.at(0);
  if (name.find('/') != std::string::npos) {
    candidates_.push_back(name);
    return;
  }
  const auto entry = std::find_if(environment_.begin(), environment_.end(),
                                  [](const auto& e) { return is_entry_of(e, "PATH"); });
  std::string_view path = entry != environment_.end() ? std::string_view(*entry).substr(5) : "/bin:/usr/bin";
  for (;;) {
    const std::size_t colon = path.find(':');
    const std::string_view folder = path.substr(0, colon);
    candidates_.push_back(folder.empty() ? name : std::string(folder) + "/" + name);
    if (colon == std::string_view::npos) return;
    path.remove_prefix(colon + 1);
  }
}

/// Returns only to say, by errno, why no candidate could be executed.
void program_start::execute() const {
  int refused = 0;
  for (const std::string& candidate : candidates_) {
    sys::execve(candidate.c_str(), argument_pointers_.data(), environment_pointers_.data());
    if (errno == EACCES) refused = errno;
    if (errno != EACCES && errno != ENOENT && errno != ENOTDIR) return;
  }
  if (refused != 0) errno = refused;
}

void program_start::begin() noexcept {
  setup_failure failure;
  try {
    apply(setup_, details_);
    set_signals(setup_, details_.options);
    close_on_exec_from(sys::first_descriptor);
    for (const auto& [number, fd] : details_.descriptors) sys::fcntl(number, F_SETFD, 0);
    if (listen_pid_ != nullptr) std::to_chars(listen_pid_, listen_pid_ + most_digits, getpid());
    execute();
    failure = {stage::execve, errno};
  } catch (...) {
    failure = current_failure();
  }
  fail(setup_.slot, failure);  // outside the handler, whose exception is the server's memory
}

pid_t program_start::run(const sys::clone_request& how) noexcept {
  return sys::clone_until_exec(how, [](void* self) { static_cast<program_start*>(self)->begin(); }, this);
}

}  // namespace brood::detail
