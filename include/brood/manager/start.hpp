// What starts a manager, and what connects to one.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "brood/channel/address.hpp"
#include "brood/channel/authkey.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/process/detail/function_entry.hpp"

namespace brood {

class manager;
namespace remote {
struct server_settings;
}

/// What `manager::start` gives. Throws `std::system_error` if the address is taken, `std::invalid_argument` for a remote
/// one without `allow_remote`; from a child as `remote_error` of that type.
class [[nodiscard("nothing is started until this is awaited")]] BROOD_API start_manager {
 public:
  start_manager();
  start_manager(start_manager&&) noexcept;
  ~start_manager();

  /// Default: an abstract Unix name of 128 random bits, which leaves nothing behind, whoever is killed, and takes no
  /// client of another user but root. `address()` is a file in a new folder that only this user can enter.
  start_manager&& at(const brood::address& where) &&;
  /// Default: the family's.
  start_manager&& key(const brood::authkey& key) &&;
  /// In this process, on this loop, instead of in a child.
  start_manager&& in_this_process() &&;
  /// Lets other machines connect to a TCP address. What is sent is authenticated at the beginning, and not encrypted.
  start_manager&& allow_remote() &&;
  /// Bytes of a request; for a longer one the caller gets `call_refused`. Default 64 MiB.
  start_manager&& max_message(std::uint64_t limit) &&;
  /// Clients at a time; more are refused. Default 4096.
  start_manager&& max_connections(std::size_t count) &&;
  /// Calls of one client that wait; more are refused. Default 16,384.
  start_manager&& max_outstanding(std::size_t count) &&;
  /// How long a client may take to authenticate itself, and how many may do so at a time; as `listener::options`.
  template <class Rep, class Period>
  start_manager&& patience(std::chrono::duration<Rep, Period> limit) && {
    set_patience(detail::saturating_ceil<std::chrono::nanoseconds>(limit));
    return std::move(*this);
  }
  start_manager&& max_unauthenticated(std::size_t count) &&;
  /// Runs a function in the server's process before it serves.
  template <auto Function, class... A>
  start_manager&& initializer(A&&... arguments) && {
    detail::require_safe_temporary<A...>();
    using target = detail::child_function<Function>;
    initialize(detail::token_of(&target::run), target::encode_arguments(std::forward<A>(arguments)...));
    return std::move(*this);
  }

  detail::owned_task<manager> operator co_await() &&;

 private:
  void set_patience(std::chrono::nanoseconds limit);
  void initialize(detail::function_token function, bytes arguments);
  static task<manager> started(std::shared_ptr<remote::server_settings> settings, bool here);

  std::shared_ptr<remote::server_settings> settings_;
  bool here_ = false;
  brood::detail::await_once once_;
};

/// What `manager::connect` gives. Throws `authentication_error` if either side does not know the key, `disconnected` if
/// nobody answers there, `call_refused` if the manager takes no more clients, `timed_out`.
class [[nodiscard("nothing is connected until this is awaited")]] BROOD_API connect_manager {
 public:
  connect_manager(brood::address where, brood::authkey key) : where_(std::move(where)), key_(key) {}
  /// Default 10 seconds.
  template <class Rep, class Period>
  connect_manager&& deadline(std::chrono::duration<Rep, Period> limit) && {
    deadline_ = detail::saturating_ceil<std::chrono::nanoseconds>(limit);
    return std::move(*this);
  }

  detail::owned_task<manager> operator co_await() &&;

 private:
  static task<manager> connected(brood::address where, brood::authkey key, std::chrono::nanoseconds deadline);

  brood::address where_;
  brood::authkey key_;
  std::chrono::nanoseconds deadline_ = std::chrono::seconds(10);
  brood::detail::await_once once_;
};

}  // namespace brood
