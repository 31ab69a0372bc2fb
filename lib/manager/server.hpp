// server: a space behind a listener. Each client has a connection; what one batch of its requests answers, to it and to
// those whose calls it wakes, leaves in one write each.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "brood/channel/address.hpp"
#include "brood/channel/authkey.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/process/detail/function_entry.hpp"
#include "channel/listener_core.hpp"
#include "manager/frame_link.hpp"
#include "manager/session.hpp"

namespace brood::remote {

/// What `manager::start` was told, as it travels to the server's process.
struct server_settings {
  std::string address;  // empty: a new file
  bytes key;            // empty: the family's
  bool allow_remote = false;
  bool this_user_only = false;
  std::uint64_t max_message = std::uint64_t{64} << 20;
  std::uint64_t max_connections = 4096;
  std::uint64_t max_outstanding = 16'384;
  std::uint64_t max_unauthenticated = 64;
  std::uint64_t patience = 3'000'000'000;  // nanoseconds
  bool initializes = false;
  detail::function_token initializer;
  bytes initializer_arguments;
};

class server {
 public:
  /// Listens from now on. Throws as `listener`.
  explicit server(const server_settings& settings);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  const address& where() const noexcept;
  /// Serves until `shutdown` is called, here or by a client, or it is cancelled.
  task<> run();
  void shut_down() noexcept;

 private:
  struct connection;
  struct alarm : detail::timer_node {
    server* owner = nullptr;
  };

  struct flusher : detail::ready_node {
    server* owner = nullptr;
  };

  void welcome(unique_fd socket);
  void drop(connection& gone) noexcept;
  void end_connections() noexcept;
  void answer_ready(connection& whose);
  void flush_answers() noexcept;
  void rearm() noexcept;

  runtime& loop_;
  server_settings settings_;
  std::shared_ptr<detail::listener_core> listener_;
  space space_;
  std::list<connection> connections_;
  std::vector<connection*> answered_;  // have something to send
  alarm alarm_;
  flusher flush_;
  bool ending_ = false;
};

}  // namespace brood::remote
