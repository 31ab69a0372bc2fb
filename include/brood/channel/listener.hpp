// listener and connect: a connection between processes that share nothing but an address and a key.
//
//   listener l("unix:/run/user/1000/x.sock", key);            auto c = co_await connect<request, reply>(
//   auto c = co_await l.accept<reply, request>();                 "unix:/run/user/1000/x.sock", key);
//
// Both sides prove to each other that they know the key, by HMAC-SHA-256 (lib/channel/handshake.hpp). This authenticates,
// it does not encrypt: beyond this machine use a tunnel, or a network that you trust. Messages travel as the codec
// writes them, so both programs need the same types on machines of one byte order. A handle to shared memory means
// nothing outside its family: sending one throws `error`, receiving one `decode_error`.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "brood/channel/address.hpp"
#include "brood/channel/authkey.hpp"
#include "brood/channel/connection.hpp"
#include "brood/channel/detail/message_channel.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"

namespace brood {

namespace detail {
class listener_core;
BROOD_API std::shared_ptr<listener_core> listen(address where, authkey key, bool allow_remote,
                                                std::uint64_t max_message, std::chrono::nanoseconds patience,
                                                std::size_t max_strangers, bool this_user_only = false);
BROOD_API task<std::shared_ptr<message_channel>> accept(std::shared_ptr<listener_core> listener);
BROOD_API task<std::shared_ptr<message_channel>> connect(address where, authkey key,
                                                         std::uint64_t max_message,
                                                         std::chrono::nanoseconds deadline);

inline constexpr std::uint64_t default_max_message = std::uint64_t{1} << 30;
}  // namespace detail

/// Waits for clients at an address, from its construction on: clients connect and are authenticated while the loop runs,
/// whether or not anybody awaits `accept`. A client that is slow, gone, wrong or hostile is dropped and disturbs
/// nobody else. A small handle: copies name the same listener. Thread: the loop's.
/// Lifetime: closed by `close`, with the last copy, or with the runtime in which it was made; a socket file goes with
/// it. (A process that is killed leaves the file; a new listener of the same user replaces it.)
class BROOD_API listener {
 public:
  /// Whom it lets in.
  struct options {
    /// TCP from other machines: without it a TCP address other than loopback throws `std::invalid_argument`.
    bool allow_remote = false;
    /// Bytes; a longer one from the other side is a `decode_error` there and ends its connection.
    std::uint64_t max_message = detail::default_max_message;
    /// How long a client may take to authenticate itself. A tenth of it where `max_unauthenticated` others wait.
    std::chrono::nanoseconds patience = std::chrono::seconds(3);
    /// Clients whose authentication is under way; more wait in the system's queue meanwhile.
    std::size_t max_unauthenticated = 64;
  };

  /// At an address that the listener chooses, with the key of the family.
  listener() : listener(brood::address()) {}
  /// Throws `std::system_error` if the system refuses the address (EADDRINUSE, EACCES, ...), `std::invalid_argument`
  /// for a remote one without `allow_remote`, `std::logic_error` where no loop runs.
  explicit listener(brood::address where, authkey key = authkey());
  listener(brood::address where, authkey key, const options& settings);
  // No moves: what was moved from names its listener still.
  listener(const listener&) = default;
  listener& operator=(const listener&) = default;

  /// Waits for the next client that has authenticated itself. It may be gone again: then its connection is `closed`.
  /// Throws `closed` once the listener is. Cancellation: nothing is lost. Several coroutines may wait.
  template <class In, class Out>
  [[nodiscard]] task<connection<In, Out>> accept() const {
    return accepted<In, Out>(core_);
  }

  /// With the real port or path where the listener chose it. Still known after `close`.
  const brood::address& address() const noexcept;
  /// Drops those that have not been accepted; connections that were go on. Closing twice is fine.
  void close() const noexcept;
  bool is_closed() const noexcept;

 private:
  template <class In, class Out>
  static task<connection<In, Out>> accepted(std::shared_ptr<detail::listener_core> core) {
    auto channel = co_await detail::accept(std::move(core));
    co_return connection<In, Out>(std::move(channel));
  }

  std::shared_ptr<detail::listener_core> core_;
};

/// What `connect` gives; awaited once.
template <class In, class Out>
class [[nodiscard]] connect_operation {
 public:
  connect_operation(address where, authkey key) : where_(std::move(where)), key_(std::move(key)) {}

  /// For the whole of it, the handshake included; default 10 seconds.
  connect_operation&& deadline(std::chrono::nanoseconds limit) && {
    deadline_ = limit;
    return std::move(*this);
  }
  /// In bytes; default 1 GiB.
  connect_operation&& max_message(std::uint64_t limit) && {
    max_message_ = limit;
    return std::move(*this);
  }

  auto operator co_await() && {
    once_.spend();
    return detail::owned_task<connection<In, Out>>(
        connected(detail::connect(std::move(where_), std::move(key_), max_message_, deadline_)));
  }

 private:
  static task<connection<In, Out>> connected(task<std::shared_ptr<detail::message_channel>> connecting) {
    auto channel = co_await std::move(connecting);
    co_return connection<In, Out>(std::move(channel));
  }

  address where_;
  authkey key_;
  std::uint64_t max_message_ = detail::default_max_message;
  std::chrono::nanoseconds deadline_ = std::chrono::seconds(10);
  brood::detail::await_once once_;
};

/// Connects to a listener and authenticates both sides. While nobody listens at that address it tries again, until the
/// deadline: a server that is starting or restarting is waited for. Throws `authentication_error` if either does not know the key or
/// the other side speaks something else, `closed` if it ends every connection at once, `timed_out`, and
/// `std::system_error` (ECONNREFUSED and ENOENT if nobody came to listen; ENETUNREACH, EMFILE, ...). Cancellation: the listener drops what was begun.
template <class In, class Out>
connect_operation<In, Out> connect(address where, authkey key = authkey()) {
  return connect_operation<In, Out>(std::move(where), std::move(key));
}

}  // namespace brood
