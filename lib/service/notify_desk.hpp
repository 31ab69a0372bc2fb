// Hears what the services of this process say (sd_notify(3)): one socket for all of them.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "service/notify_message.hpp"
#include "system/notification.hpp"

namespace brood::detail {

class notify_desk final : public runtime_service {
 public:
  using handler = std::function<void(const notify_message&)>;

  explicit notify_desk(runtime& loop);
  task<> shut_down() override;

  /// What NOTIFY_SOCKET is to be.
  const std::string& address() const noexcept { return socket_.address; }
  /// A process is being started, which may speak before its pid is known here: what cannot be told apart is kept, until
  /// `started` has been called as often.
  void expect() noexcept { ++expected_; }
  void started() noexcept;
  /// Calls `hear` for what the process says, and has said. Of a program also what its descendants say, as a script's do.
  void add(pid_t pid, bool with_descendants, handler hear);
  void remove(pid_t pid) noexcept { speakers_.erase(pid); }
  /// What has come so far. To be called before a death is told: a process may have spoken just before.
  void read() noexcept;

 private:
  struct speaker {
    bool with_descendants;
    handler hear;
  };
  struct early_message {
    std::vector<pid_t> speakers;  // the sender, and who is above it
    notify_message said;
  };
  void deliver(pid_t sender, std::string_view text);
  static bool is_from(const std::vector<pid_t>& speakers, pid_t pid, bool with_descendants) noexcept;

  sys::notification_socket socket_;
  std::optional<fd_watch> watch_;
  std::unordered_map<pid_t, speaker> speakers_;
  std::size_t expected_ = 0;
  std::deque<early_message> early_;
};

}  // namespace brood::detail
