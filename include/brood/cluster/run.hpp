// run: the main of an application that lends itself to its own cluster.
#pragma once

#include <utility>

#include "brood/cluster/pool.hpp"
#include "brood/process/run.hpp"

namespace brood::cluster {

namespace detail {
/// Whether the command line asks for a host; then runs it and leaves its exit code.
BROOD_API bool run_host(int argc, char** argv, const options& family, int& code);
}  // namespace detail

/// `brood::run`; or, started as
///
///     program --brood-join ADDRESS --brood-key FILE [--brood-cluster NAME] [--brood-workers N] [--brood-lease MS]
///             [--brood-user NAME --brood-password-file FILE]
///
/// a host, which lends its workers (default: one for each processor) to the pools of this cluster and build, until SIGTERM
/// or SIGINT: then it takes nothing more, finishes what runs and leaves; a second signal ends it at once.
template <class Application>
int run(int argc, char** argv, Application application, const options& family = {}) {
  int code = 0;
  if (detail::run_host(argc, argv, family, code)) return code;
  return brood::run(argc, argv, std::move(application), family);
}

}  // namespace brood::cluster
