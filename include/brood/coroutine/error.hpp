// The errors of the coroutine storey, and the base every error of this library shares.
#pragma once

#include <stdexcept>

#include "brood/export.hpp"

namespace brood {

/// Base of every error this library defines. The operating system's errors are `std::system_error` instead,
/// with the errno and the name of the call that failed.
class BROOD_API error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The operation was cancelled before it took effect: nothing was sent, taken or acquired.
class BROOD_API cancelled : public error {
 public:
  cancelled() : error("the operation was cancelled") {}
};

/// `with_timeout` ended before its operation did. The operation was cancelled and awaited first.
class BROOD_API timed_out : public error {
 public:
  timed_out() : error("the operation timed out") {}
};

/// The channel was closed, by this side or the other, and holds nothing more.
class BROOD_API closed : public error {
 public:
  closed() : error("the channel is closed") {}
  using error::error;
};

}  // namespace brood
