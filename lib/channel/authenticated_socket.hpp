// The connecting side, up to the end of the handshake: for those with a protocol of their own.
#pragma once

#include <chrono>

#include "brood/channel/address.hpp"
#include "brood/channel/authkey.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/system/unique_fd.hpp"

namespace brood::detail {

/// A connected, non-blocking socket whose other side knows the key. Throws as `brood::connect`. While nobody listens
/// there it tries again until the deadline, or throws at once, as `absent` says.
enum class absent_listener { awaited, refused };
task<unique_fd> authenticated_socket(address where, authkey key, std::chrono::nanoseconds deadline,
                                     absent_listener absent = absent_listener::awaited);

}  // namespace brood::detail
