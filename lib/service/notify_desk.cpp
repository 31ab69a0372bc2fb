#include "service/notify_desk.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <fstream>

#include "runtime/log.hpp"

namespace brood::detail {
namespace {

// Messages that a turn of the loop handles.
constexpr int batch = 64;
// How far up from a descendant its service is looked for.
constexpr int most_generations = 16;
// Messages that are kept until it is known whose they are.
constexpr std::size_t most_early = 4096;

/// 0 if it cannot be told.
pid_t parent_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(file, line);
  // The name is in parentheses, and may hold any; the state and the parent follow.
  const std::size_t behind = line.rfind(')');
  if (behind == std::string::npos || behind + 4 > line.size()) return 0;
  return static_cast<pid_t>(std::strtol(line.c_str() + behind + 4, nullptr, 10));
}

/// The process and those above it.
std::vector<pid_t> lineage_of(pid_t pid) {
  std::vector<pid_t> result;
  for (int i = 0; i < most_generations && pid > 1; ++i) {
    result.push_back(pid);
    pid = parent_of(pid);
  }
  if (result.empty()) result.push_back(0);
  return result;
}

}  // namespace

notify_desk::notify_desk(runtime& loop) : socket_(sys::open_notification_socket()) {
  watch_.emplace(loop, socket_.fd.get(), [this](int) { read(); });
  watch_->background();
  watch_->watch(fd_watch::readable);
}

task<> notify_desk::shut_down() {
  watch_.reset();
  co_return;
}

void notify_desk::started() noexcept {
  if (--expected_ == 0) early_.clear();
}

bool notify_desk::is_from(const std::vector<pid_t>& speakers, pid_t pid, bool with_descendants) noexcept {
  if (!with_descendants) return speakers.front() == pid;
  return std::find(speakers.begin(), speakers.end(), pid) != speakers.end();
}

void notify_desk::add(pid_t pid, bool with_descendants, handler hear) {
  speakers_.insert_or_assign(pid, speaker{with_descendants, hear});
  for (std::size_t i = 0; i < early_.size(); ++i) {
    if (is_from(early_[i].speakers, pid, with_descendants)) hear(early_[i].said);
  }
}

void notify_desk::read() noexcept {
  char buffer[4096];
  sys::notification message;
  for (int i = 0; i < batch && sys::receive_notification(socket_.fd.get(), buffer, message); ++i) {
    try {
      deliver(message.sender, std::string_view(buffer, message.size));
    } catch (const std::exception& e) {
      log_error("a message of service {} is lost: {}", message.sender, e.what());
    }
  }
}

void notify_desk::deliver(pid_t sender, std::string_view text) {
  if (const auto found = speakers_.find(sender); found != speakers_.end()) {
    const handler hear = found->second.hear;  // a copy: what is heard may end the service
    return hear(parse_notification(text));
  }
  const std::vector<pid_t> speakers = lineage_of(sender);
  for (const pid_t each : speakers) {
    const auto found = speakers_.find(each);
    if (found == speakers_.end()) continue;
    if (!found->second.with_descendants) return;
    const handler hear = found->second.hear;
    return hear(parse_notification(text));
  }
  const bool is_ours = std::find(speakers.begin(), speakers.end(), getpid()) != speakers.end();
  if (!is_ours || expected_ == 0)
    return log_debug("a message of {}, which is no service, is passed over", sender);
  if (early_.size() == most_early) early_.pop_front();
  early_.push_back({speakers, parse_notification(text)});
}

}  // namespace brood::detail
