// The name by which the library itself uses `async_event`.
#pragma once

#include "brood/coroutine/async_event.hpp"

namespace brood::detail {

using local_event = async_event;

}  // namespace brood::detail
