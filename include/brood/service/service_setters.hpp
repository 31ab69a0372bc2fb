// What is to be set of a service before it is started.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "brood/channel/address.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/saturating_time.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/service/detail/listening.hpp"
#include "brood/service/detail/service_body.hpp"
#include "brood/service/policy.hpp"

namespace brood {
namespace detail {

/// What is to be supervised, and how.
struct service_spec {
  std::string name;  // empty: the body's
  service_rules rules;
  readiness ready_when = readiness::at_start;
  std::function<task<bool>()> probe;
  std::chrono::nanoseconds probe_every = std::chrono::milliseconds(100);
  std::vector<listen_request> listen;
  std::shared_ptr<service_body> body;
};

}  // namespace detail

/// What is to be set of a service. Each gives the same object back.
template <class Self>
class service_setters {
 public:
  service_setters() = default;
  service_setters(service_setters&&) = default;
  /// `o = std::move(o).name("web")` assigns an object to itself.
  service_setters& operator=(service_setters&& other) noexcept {
    if (this != &other) spec_ = std::move(other.spec_);
    return *this;
  }
  /// For logs and errors, and for `find_service`, by which any process of the family finds it; that costs a descriptor.
  /// Default: the program's name, or `service-N`, which is not found.
  Self&& name(std::string s) && {
    spec_.name = std::move(s);
    return self();
  }
  /// Which of its ends make it start again; default always.
  Self&& restart(restart_when when) && {
    spec_.rules.restart = when;
    return self();
  }
  /// The pauses between its restarts.
  Self&& back_off(const brood::back_off& pauses) && {
    spec_.rules.pauses = pauses;
    return self();
  }
  /// Default `readiness::at_start`. What is `notified` is killed, and counts as ended, after 30 s, or `start_within`.
  Self&& ready_when(readiness when) && {
    spec_.ready_when = when;
    return limit_start();
  }
  /// Ready when `probe()`, a `task<bool>`, gives true. It is asked anew each `every`; one that throws has not given true.
  /// Killed, and counted as ended, after 30 s, or `start_within`.
  template <class Probe, class Rep = std::int64_t, class Period = std::milli>
    requires std::invocable<std::decay_t<Probe>&>
  Self&& probe(Probe&& probe, std::chrono::duration<Rep, Period> every = std::chrono::milliseconds(100)) && {
    detail::require_safe_function<Probe>();
    spec_.probe = std::forward<Probe>(probe);
    spec_.probe_every = detail::saturating_ceil<std::chrono::nanoseconds>(every);
    return limit_start();
  }
  /// How long it may take to get ready. It may ask for more: EXTEND_TIMEOUT_USEC=.
  template <class Rep, class Period>
  Self&& start_within(std::chrono::duration<Rep, Period> d) && {
    spec_.rules.start_within = detail::saturating_ceil<std::chrono::nanoseconds>(d);
    return self();
  }
  /// How long it may take to end when it is asked to, before it is killed with its tree; default 2 s.
  template <class Rep, class Period>
  Self&& stop_within(std::chrono::duration<Rep, Period> d) && {
    spec_.rules.stop_within = detail::saturating_ceil<std::chrono::nanoseconds>(d);
    return self();
  }
  /// Killed, and counted as ended, when it has not called `this_service().alive()`, or sent WATCHDOG=1, for `d` while it
  /// is ready. It finds `d` in WATCHDOG_USEC.
  template <class Rep, class Period>
  Self&& watchdog(std::chrono::duration<Rep, Period> d) && {
    spec_.rules.watchdog = detail::saturating_ceil<std::chrono::nanoseconds>(d);
    return self();
  }
  /// The supervisor listens at `where` from before the first instance to the end of the service, and each instance gets the
  /// socket: so connections wait while it restarts or reloads, and none is refused. A program gets it as sd_listen_fds(3) says
  /// (descriptor 3 and on; LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES), a function by `this_service().listener(called)`.
  /// `service::address` tells the port where 0 was asked for. May be said several times. For programs and functions. `run`
  /// throws `std::system_error` if that cannot be done.
  Self&& listen(address where, std::string called = "connection") &&
    requires Self::gets_sockets
  {
    spec_.listen.push_back({std::move(where), std::move(called)});
    return self();
  }

 protected:
  detail::service_spec spec_;

 private:
  Self&& self() noexcept { return static_cast<Self&&>(*this); }
  Self&& limit_start() noexcept {
    if (spec_.rules.start_within == std::chrono::nanoseconds::max())
      spec_.rules.start_within = std::chrono::seconds(30);
    return self();
  }
};

}  // namespace brood
