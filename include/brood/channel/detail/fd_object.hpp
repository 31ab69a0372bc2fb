// fd_object: what the family's memory knows of a file that one process keeps open for others: whom to ask for
// it.
//
//   owner: fd_depot, ticket -> descriptor      the arena: fd_state (the depot's port, ticket), counted
//       ^--- "give me 7" / descriptor ---------- whoever has a handle and opens it
//       ^--- "forget 7" ------------------------ whoever drops the last handle, or cleans up after that one's
//       death
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "brood/arena/detail/shared_object.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::detail {

class message_channel;

/// Payload of the block. Set before anyone else sees it, and never changes.
struct fd_state {
  std::array<std::uint64_t, 2> port;  // the abstract name of the owner's depot
  std::uint64_t ticket;               // 0 until it is all set
  std::uint64_t longest_message;      // of a connection's socket; 0 for a file that is none
  std::uint64_t unread;  // bytes that follow: what a connection has read from its socket and not given out
};
static_assert(sizeof(fd_state) == 40);

class BROOD_API fd_object final : public shared_object {
 public:
  static constexpr std::uint8_t kind_number = fd_kind;
  /// Puts `fd` into this process's depot. With `longest_message` it is a connection's socket.
  static std::shared_ptr<fd_object> create(arena& memory, unique_fd fd, std::uint64_t longest_message = 0,
                                           std::span<const std::byte> unread = {});

  /// For `create`, which sets the state.
  fd_object(arena& memory, reference block, word& cell);
  fd_object(arena& memory, object_name name);

  bool is_connection() const noexcept { return state_.longest_message != 0; }
  /// The connection, one for all handles in this process. Throws `error` if it is a file that is none.
  static std::shared_ptr<message_channel> channel(const std::shared_ptr<fd_object>& self);

  std::uint64_t longest_message() const noexcept { return state_.longest_message; }
  std::span<const std::byte> unread() const noexcept {
    return is_gone() ? std::span<const std::byte>() : unread_;
  }

  /// A descriptor of this process's own. Throws `closed` if the owner is gone.
  static task<unique_fd> fetch(std::shared_ptr<fd_object> self);

 private:
  void read_state();

  fd_state state_{};
  std::span<const std::byte> unread_;
  std::weak_ptr<message_channel> channel_;
};

}  // namespace brood::detail
