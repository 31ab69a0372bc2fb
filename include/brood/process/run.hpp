// Entering the library: run for programs that are asynchronous throughout, init for those with a loop of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "brood/export.hpp"
#include "brood/process/launch.hpp"
#include "brood/runtime/log.hpp"
#include "brood/runtime/runtime.hpp"

namespace brood {

/// How children that run functions are made.
enum class process_model : std::uint8_t {
  automatic,  ///< the first of the following that works here
  siblings,   ///< the fork server clones children of the parent itself (CLONE_PARENT); statuses survive the
              ///< server
  relay,      ///< the fork server forks children of its own and passes their statuses on
  exec,       ///< every child is a fresh image of the program
};

/// What SIGINT and SIGTERM do to an application under `run`.
enum class stop_signals : std::uint8_t {
  cancel,  ///< the first cancels the application, a second one ends the process by its default action
  event,  ///< the first lets `stop_requested()` return, and the application ends by itself when it is done; the second cancels
          ///< it, a third ends the process
  off,    ///< nothing: they are the application's own
};

/// Settings of the whole family, given once at its beginning.
struct options {
  /// Run once in the fork server, before the first child: what it loads, thousands of children share copy-on-write.
  /// A plain function, as it must be found again in a fresh image. It must not leave threads running.
  void (*preload)() = nullptr;
  /// How children that run functions are made.
  process_model model = process_model::automatic;
  /// Address space for the shared memory of the family, in bytes; memory is used only as it is touched.
  std::size_t arena_size = std::size_t{64} << 30;
  stop_signals signals = stop_signals::cancel;  ///< what SIGINT and SIGTERM do under `run`
  log_level log = log_level::errors;  ///< of the whole family; the environment variable BROOD_LOG wins

  bool operator==(const options&) const = default;
};

/// First thing in `main` of a program that has a loop of its own or that only waits with `sync_wait`: starts
/// the fork server while the process is small and has one thread. In a process that is itself a child of the
/// family it does not return: it runs what the child is to run. Throws `std::system_error` if no fork server
/// can be started, what `preload` threw as `remote_error`, and `std::logic_error` the second time.
BROOD_API void init(int argc, char** argv, options settings = {});

namespace detail {
BROOD_API int run_application(int argc, char** argv, const options& settings,
                              std::function<task<int>()> application);
BROOD_API std::vector<std::string> command_line();

template <class Application>
task<int> call_application(Application& application, int argc, char** argv) {
  auto call = [&] {
    if constexpr (std::is_invocable_v<Application&, std::vector<std::string>>) {
      return application(command_line());
    } else if constexpr (std::is_invocable_v<Application&, int, char**>) {
      return application(argc, argv);
    } else {
      static_assert(std::is_invocable_v<Application&>,
                    "brood::run takes a coroutine without arguments or with the command line: a "
                    "std::vector<std::string>, or argc and argv");
      return application();
    }
  };
  if constexpr (std::is_void_v<await_result_t<decltype(call())>>) {
    co_await call();
    co_return 0;
  } else {
    co_return co_await call();
  }
}
}  // namespace detail

/// Calls `init`, starts a loop, runs `application`, a `task<int>` or `task<>` that takes nothing or the
/// command line (a `std::vector<std::string>`, or argc and argv), and returns its exit code once it and every
/// child that is no daemon have ended; daemons are terminated. An escaping exception is printed and
/// returns 1. After `init`, or a second time, it stays with the settings that the process has begun with. The
/// environment variable BROOD_TRACE names a file for a trace of it all; see `runtime::trace`. SIGINT and
/// SIGTERM cancel the application, and then the children that are left; a second one ends the process. `options::signals`
/// says otherwise, for one that drains. 128 plus the signal's number is returned when a signal cancelled it.
template <class Application>
int run(int argc, char** argv, Application application, const options& settings = {}) {
  return detail::run_application(argc, argv, settings, [&application, argc, argv] {
    return detail::call_application(application, argc, argv);
  });
}

/// The same with the settings first, for long applications at the end.
template <class Application>
int run(int argc, char** argv, const options& settings, Application application) {
  return run(argc, argv, std::move(application), settings);
}

}  // namespace brood
