// An address as the system takes it.
#pragma once

#include "brood/channel/address.hpp"
#include "system/stream_socket.hpp"

namespace brood::detail {

/// Not for addresses that a listener has yet to choose.
inline sys::endpoint endpoint_of(const address& where) {
  if (where.type() == address::kind::unix_path) return sys::unix_endpoint(where.name());
  if (where.type() == address::kind::unix_abstract) return sys::abstract_endpoint(where.name());
  return sys::tcp_endpoint(where.name() == "localhost" ? "127.0.0.1" : where.name(), where.port());
}

}  // namespace brood::detail
