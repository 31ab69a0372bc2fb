// shield: an operation that the cancellation of its awaiter does not reach.
#pragma once

#include <chrono>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/with_timeout.hpp"

namespace brood {

/// Awaits `operation` also in a task that is being cancelled: for what a destructor cannot do, as it cannot await: to tell a
/// peer, to write the rest. What the operation awaits, starts in a nursery or spawns there is shielded too. After `limit`,
/// counted from this call, it is cancelled, awaited to its end, and `timed_out` is thrown: cleaning up must not keep a
/// process from ending. C++ allows no `co_await` in a `catch`: note there that it was `cancelled`, await the shield behind it,
/// and throw `cancelled` again. A child that is asked to stop is killed at its `stop_within` all the same.
/// Cancellation: none from outside; the awaiter's next await ends with `cancelled`. Lifetime: owns the operation.
template <class Rep, class Period, class A>
  requires detail::awaitable<std::decay_t<A>>
auto shield(A&& operation, std::chrono::duration<Rep, Period> limit) {
  detail::require_safe_temporary<A>();
  return detail::run_until(detail::time_after(limit), std::forward<A>(operation), detail::outer_scope::none);
}

}  // namespace brood
