// service<R>: a logical handle. Its processes come and go, it stays.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "brood/arena/codec.hpp"
#include "brood/channel/address.hpp"
#include "brood/coroutine/generator.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/process/exit_status.hpp"
#include "brood/process/process.hpp"
#include "brood/service/policy.hpp"

namespace brood {

namespace detail {
class service_record;
class service_group;
/// Waits until the service has ended for good; gives the bytes of its result, or throws why there are none.
BROOD_API task<std::span<const std::byte>> service_result(std::shared_ptr<service_record> self);
BROOD_API task<exit_status> service_exit_status(std::shared_ptr<service_record> self);
}  // namespace detail

/// Something happened to a service: its state as it was then.
struct service_event {
  service_state state = service_state::waiting;
  pid_t pid = 0;             ///< of the instance that runs; 0 if none does
  std::size_t restarts = 0;  ///< so far
  std::string text;          ///< how its last instance ended, or what it says of itself (STATUS=)
};

/// A service, whatever it runs. A small copyable value; copies name the same service. Loop thread only.
/// Lifetime: may outlive the supervisor; the service is `stopped` then. Dropping the last handle stops nothing.
class BROOD_API service_handle {
 public:
  const std::string& name() const noexcept;
  service_state state() const noexcept;
  /// Of the instance that runs, 0 if none does. This process's own for a service that is a coroutine.
  pid_t pid() const noexcept;
  /// The process that runs now, if there is one.
  std::optional<process_handle> current() const;
  /// How often it has been started again.
  std::size_t restarts() const noexcept;
  /// What it said of itself last, by `this_service().status(text)` or STATUS=.
  const std::string& status() const noexcept;

  /// Where its first socket, or the one of that name, listens. Throws `std::out_of_range` if there is none.
  const brood::address& address(std::string_view listener = {}) const;

  /// Waits until it is ready, at once if it is. Throws what its `result()` would if it ends for good before.
  /// Cancellation: nothing has changed.
  task<> ready() const;
  /// Stops it, with its group if the strategy says so, and waits until it is ready again. Without a pause, and not counted.
  /// Starts it if it had ended. Throws as `ready`. Cancellation: it restarts all the same.
  task<> restart() const;
  /// Starts a new instance beside the old one, waits until it is ready, and then stops the old one: with sockets that both
  /// have (`.listen`) nobody is refused meanwhile. Throws why the new one ended, and leaves the old one as it is; and
  /// `std::logic_error` if the service is not ready, or reloads already. Cancellation: it reloads all the same.
  task<> reload() const;
  /// Asks it to stop, and waits until nothing of it runs. It does not start again, unless `restart` says so.
  /// Cancellation: it stops all the same.
  task<> stop() const;
  /// What happens to it from now on, the present state first; ends when the supervisor has forgotten it. Who is too slow
  /// misses the oldest events.
  generator<service_event> events() const;

  explicit service_handle(std::shared_ptr<detail::service_record> record) noexcept
      : record_(std::move(record)) {}

 protected:
  friend class supervisor;
  std::shared_ptr<detail::service_record> record_;
};

/// A service that gives an `R` when it ends for good: what its function returned, or a program's `exit_status`.
template <class R = void>
class service : public service_handle {
 public:
  using service_handle::service_handle;

  /// Waits until the service has ended and does not start again, whatever number of instances that takes; gives the last
  /// one's result, any number of times. Throws as `process::result` does, `service_stopped` if it was stopped without one,
  /// and `restart_limit` if its supervisor gave up. Cancellation: the service runs on.
  task<R> result() const { return decode_result(record_); }

 private:
  static task<R> decode_result(std::shared_ptr<detail::service_record> record) {
    if constexpr (std::is_same_v<R, exit_status>) {
      co_return co_await detail::service_exit_status(std::move(record));
    } else {
      const std::span<const std::byte> encoded = co_await detail::service_result(record);
      if constexpr (!std::is_void_v<R>) co_return decode<R>(encoded);
    }
  }
};

}  // namespace brood
