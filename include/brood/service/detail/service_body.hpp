// What a service runs, in each of its instances.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "brood/arena/codec.hpp"
#include "brood/arena/detail/shared_object.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/process/command.hpp"
#include "brood/process/detail/function_entry.hpp"
#include "brood/process/launch.hpp"
#include "brood/process/process.hpp"
#include "brood/service/detail/listening.hpp"

namespace brood::detail {

/// What a supervisor gives each instance.
struct instance_setup {
  std::string name;  // empty: none was given
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::shared_ptr<listening_socket>> listening;
  std::function<void()> ready;  // for those that run in this process
};

/// How an instance ended.
struct instance_end {
  bool success = false;
  std::exception_ptr why;  // what `result()` throws; for a success what a supervisor says that gives up
  std::shared_ptr<child> process;     // with the result
  std::optional<exit_status> status;  // of a process
};

/// An instance that runs.
class running_instance {
 public:
  virtual ~running_instance() = default;
  virtual pid_t pid() const noexcept = 0;
  /// The process itself, if it is one of its own.
  virtual std::optional<process_handle> process() const { return std::nullopt; }
  /// It is to end within `limit`. May be called at any time, also while nobody waits.
  virtual void ask(std::chrono::nanoseconds limit) noexcept = 0;
  virtual void kill() noexcept = 0;
  /// Waits for its end. Awaited once. Throws nothing but for want of memory.
  virtual task<instance_end> wait() = 0;
};

/// Makes the instances of one service.
class BROOD_API service_body {
 public:
  virtual ~service_body();
  /// Cancellation: nothing was started, or it has been ended.
  virtual task<std::unique_ptr<running_instance>> start(instance_setup setup) = 0;
  /// Empty if it has none.
  virtual std::string default_name() const { return std::string(); }
};

/// A call that can be sent again and again: its arguments as bytes, and the shared objects that they hold handles of.
struct service_call {
  function_token function;
  bytes arguments;
  std::vector<std::shared_ptr<shared_object>> objects;
};

/// In an instance: what a `service_call` has before the arguments of the function. Gives those.
BROOD_API std::span<const std::byte> enter_service(std::span<const std::byte> encoded);

template <auto Function>
struct service_function {
  using target = child_function<Function>;
  [[gnu::hot]] static bytes run(std::span<const std::byte> encoded, void (*decoded)()) {
    return target::run(enter_service(encoded), decoded);
  }
};

template <auto Function, class... Arguments>
service_call make_service_call(Arguments&&... arguments) {
  static const function_token token = token_of(&service_function<Function>::run);
  travelling_objects travelling;
  bytes encoded = service_function<Function>::target::encode_arguments(std::forward<Arguments>(arguments)...);
  return {token, std::move(encoded), travelling.objects()};
}

BROOD_API std::shared_ptr<service_body> function_body(launch_plan plan, service_call call);
BROOD_API std::shared_ptr<service_body> program_body(command program);
/// `run` gets a function to call once it is ready.
BROOD_API std::shared_ptr<service_body> coroutine_body(
    std::function<task<>(std::function<void()> ready)> run);

}  // namespace brood::detail
