// Listening sockets that a supervisor holds for a service, so that they outlive its instances.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "brood/channel/address.hpp"
#include "brood/channel/shared_fd.hpp"
#include "brood/export.hpp"

namespace brood::detail {

/// What `.listen` asked for.
struct listen_request {
  address where;
  std::string name;
};

/// One of them as a function's instance gets it. Travels before its arguments.
struct shared_listener {
  std::string name;
  shared_fd socket;
};

/// Lifetime: a socket file goes with it.
class listening_socket;

/// Throws `std::system_error` with the address.
BROOD_API std::shared_ptr<listening_socket> open_listening_socket(const listen_request& asked);

}  // namespace brood::detail
