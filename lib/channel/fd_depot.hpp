// fd_depot: the descriptors that this process keeps for others of its family, and the socket where they ask
// for them.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <unordered_map>

#include "brood/coroutine/task.hpp"
#include "brood/runtime/fd_watch.hpp"
#include "brood/runtime/runtime.hpp"
#include "brood/system/unique_fd.hpp"
#include "runtime/retry_timer.hpp"
#include "system/stream_socket.hpp"

namespace brood::detail {

using depot_port = std::array<std::uint64_t, 2>;

/// Where the depot of that name listens: an abstract Unix socket, so no kill leaves a file behind.
sys::endpoint depot_endpoint(const depot_port& port);

/// What is sent to a depot. The answer to `give` is one byte with the descriptor; the end of the stream
/// instead of it means that there is none.
struct depot_request {
  enum class what : std::uint64_t { give = 1, forget = 2 } wanted;
  std::uint64_t ticket;
};

/// A runtime's. Its socket does not keep the loop alive. The name is random, and processes of other users are
/// not served.
class fd_depot final : public runtime_service {
 public:
  explicit fd_depot(runtime& loop);
  ~fd_depot() override;
  task<> shut_down() override;

  const depot_port& port() const noexcept { return port_; }
  /// Gives the ticket; no two descriptors ever have the same.
  std::uint64_t keep(unique_fd fd);
  void forget(std::uint64_t ticket) noexcept { kept_.erase(ticket); }
  /// A duplicate; empty if there is no such descriptor. Throws `std::system_error` (EMFILE).
  unique_fd copy(std::uint64_t ticket) const;

 private:
  struct visitor;
  void receive_visitors();
  bool receive_all();
  void welcome(unique_fd guest) noexcept;
  void end(visitor& guest) noexcept;

  runtime& loop_;
  depot_port port_;
  unique_fd socket_;
  unique_fd spare_;  // given up to turn a visitor away when this process has no other descriptor left
  fd_watch watch_;
  retry_timer
      retry_;  // runs instead of the watch while this process has no descriptor or memory for visitors
  std::unordered_map<std::uint64_t, unique_fd> kept_;
  std::uint64_t last_ticket_ = 0;
  std::list<visitor> visitors_;
};

}  // namespace brood::detail
