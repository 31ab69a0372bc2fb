// The errors of a cluster.
#pragma once

#include <string>

#include "brood/coroutine/error.hpp"
#include "brood/export.hpp"

namespace brood::cluster {

/// The engine could not be reached for as long as `patience` allows; `what()` says why at the last try. Whether what was
/// asked for has happened is unknown.
class BROOD_API engine_unavailable : public error {
 public:
  using error::error;
};

/// The engine answered, and refused: a wrong password, no memory left, a setting with which nothing is safe.
/// `what()` begins with the engine's own words. Nothing has happened.
class BROOD_API engine_refused : public error {
 public:
  using error::error;
};

/// What this process had on lease, or held, is another's by now: it was not heard of for longer than its lease.
class BROOD_API lease_lost : public error {
 public:
  lease_lost()
      : error("the lease is lost: the engine did not hear of this process for longer than its lease") {}
};

/// More hosts were lost while they ran this task than `host_losses` allows: it may be what ends them.
class BROOD_API host_lost : public error {
 public:
  host_lost() : error("the hosts that ran this task were lost, more of them than its host_losses allow") {}
};

/// `require_hosts` waited for hosts in vain; `what()` names the builds of those that are there.
class BROOD_API no_hosts : public error {
 public:
  using error::error;
};

}  // namespace brood::cluster
