// client: this process's one connection to a manager, shared by all handles of it and of its objects.
//
//   idle ──a call──▶ connecting ──hello──▶ open ──lost──▶ idle
//
// Calls made while it connects wait in `deferred_`. When the connection is lost every pending call fails, and the next one
// connects again. A hold on an object belongs to the connection, by its `epoch`: the first call on the object over a new
// one attaches it anew, if it still exists. If the manager is another one by then, an object that was made with a name is
// asked for again by that name, and calls on it wait in `deferred_` meanwhile; others are gone.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "brood/channel/address.hpp"
#include "brood/channel/authkey.hpp"
#include "brood/manager/detail/proxy.hpp"
#include "brood/manager/detail/remote_call.hpp"
#include "brood/runtime/detail/local_event.hpp"
#include "manager/frame_builder.hpp"
#include "manager/frame_link.hpp"

namespace brood::remote {

class client final : public std::enable_shared_from_this<client>, private frame_link::handler {
 public:
  /// The one for this address and key; made if there is none.
  static std::shared_ptr<client> find(const address& where, const authkey& key);

  client(address where, authkey key);
  ~client();

  const address& where() const noexcept { return where_; }
  const authkey& key() const noexcept { return key_; }

  std::uint64_t submit(std::shared_ptr<const request> what, pending_call& waiter);
  void post(const request& what) noexcept;
  void abandon(std::uint64_t id, undo take_back) noexcept;
  /// Gives back what a method of the object's granted under this number.
  void give_back(const reference& object, std::uint64_t method, std::uint64_t granted) noexcept;
  /// For want of memory: what this process holds there is others' then, as if it had died.
  void break_off() noexcept;

  /// Connects now, if it is not connected. Throws what `brood::connect` throws, and `call_refused`.
  task<> connected(std::chrono::nanoseconds deadline);
  /// The server that this has last been connected to.
  std::uint64_t instance() const noexcept { return instance_; }
  /// For a server's client of itself, which knows before it connects.
  void expect(std::uint64_t instance) noexcept { instance_ = instance; }
  /// Did the last attempt to connect find nobody who listens?
  bool found_nobody() const noexcept { return found_nobody_; }
  std::uint64_t epoch() const noexcept { return state_ == state::open ? epoch_ : 0; }

  /// This process has got one more reference to the object.
  object_pointer granted(number id);
  object_pointer known(std::uint64_t instance, number id, std::uint64_t type);
  void release(reference& object) noexcept;
  void lend(reference& object) noexcept;

  /// Sends what there is and closes, at the end of the runtime.
  task<> shut_down();

 private:
  enum class state : std::uint8_t { idle, connecting, greeting, open };
  struct search;
  struct pending {
    std::shared_ptr<const request> what;
    pending_call* waiter;
    undo take_back = nullptr;
  };
  struct flusher : detail::ready_node {
    client* owner = nullptr;
  };

  void on_frame(std::span<const std::byte> frame) override;
  void on_batch_end() override {}
  void on_end(const char* why) noexcept override;

  void begin_connecting();
  task<> open_link(std::uint64_t attempt);
  void greeted(std::span<const std::byte> frame);
  void answered(std::span<const std::byte> frame);
  void write_request(std::uint64_t id, const request& what);
  void write_small(operation what, number object, std::optional<std::uint64_t> rest);
  void hold(reference& object);
  bool is_here(const request& what) const noexcept;
  void require_sendable(const request& what) const;
  void write_deferred();
  void fail(std::uint64_t id, const std::exception_ptr& why) noexcept;
  void seek(const object_pointer& object);
  void found(const object_pointer& object, const answer& came) noexcept;
  void take_up(const object_pointer& object, const answer& came);
  void forget(const reference& object) noexcept;
  void want_flush() noexcept;
  void lose(const std::exception_ptr& why) noexcept;
  void settle(pending entry, const answer& came) noexcept;

  address where_;
  authkey key_;
  state state_ = state::idle;
  runtime* loop_ = nullptr;  // while not idle
  std::optional<frame_link> link_;
  std::uint64_t attempt_ = 0;
  std::uint64_t epoch_ = 0;
  std::uint64_t instance_ = 0;
  std::uint64_t max_message_ = 0;  // that the manager takes
  std::uint64_t next_id_ = 1;
  std::unordered_map<std::uint64_t, pending> pending_;
  std::vector<std::uint64_t> deferred_;  // of `pending_`: those that have not been written
  std::list<search> searches_;
  std::unordered_map<number, std::weak_ptr<reference>> references_;
  detail::local_event changed_;
  std::exception_ptr refusal_;  // why the last attempt failed
  bool found_nobody_ = false;
  flusher flush_;
};

/// An object that is asked for by its name.
struct client::search final : pending_call {
  search(client& asking, object_pointer lost) noexcept : owner(asking), object(std::move(lost)) {}
  void settle(const answer& came) noexcept override;
  client& owner;
  object_pointer object;
};

}  // namespace brood::remote
