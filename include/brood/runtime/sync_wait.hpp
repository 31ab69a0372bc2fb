// sync_wait: awaiting from a plain function.
#pragma once

#include "brood/runtime/runtime.hpp"

namespace brood {
/// Runs this thread's loop until `operation` has ended; gives its result or throws its error. Makes a runtime for the
/// thread if it has none. For plain functions, in children too.
/// Throws `std::logic_error` inside a coroutine, where it would block the loop: `co_await` there.
template <detail::awaitable A>
detail::await_result_t<A> sync_wait(A operation) {
  return detail::runtime_for_waiting().run_until_complete(std::move(operation));
}

}  // namespace brood
