// find_service: a service by its name, from any process of the family.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>

#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/service/policy.hpp"

namespace brood {

/// A service as it was when it was asked for.
struct found_service {
  std::string name;
  service_state state = service_state::waiting;
  pid_t pid = 0;  ///< of the instance that runs; 0 if none does
  std::size_t restarts = 0;
  std::string status;  ///< what it said of itself last
};

/// The service that has been given this name by `.name`, whichever process of the family supervises it; nothing if there is
/// none. Of several with one name the oldest is found. Waits for the supervisor, whose loop must run. Throws `std::system_error` where there
/// are no descriptors, and as `connect` does. Cancellation: nothing has happened.
[[nodiscard]] BROOD_API task<std::optional<found_service>> find_service(std::string name);

}  // namespace brood
