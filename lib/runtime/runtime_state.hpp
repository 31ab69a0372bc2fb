// What a runtime is made of.
#pragma once

#include <uv.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "brood/coroutine/detail/task_group.hpp"
#include "brood/runtime/runtime.hpp"
#include "runtime/loop_handle.hpp"
#include "runtime/stall_meter.hpp"

namespace brood {

struct runtime::state {
  template <class Uv>
  using handle = detail::loop_handle<Uv, state*>;

  struct named_service {
    const void* key;
    std::unique_ptr<runtime_service> service;
  };

  state(runtime& owner, uv_loop_s* host_loop);
  ~state();

  void open_handles();
  void close_handles() noexcept;
  void close() noexcept;
  void run_ready() noexcept;
  void end_fork() noexcept;
  void before_poll() noexcept;
  void after_poll() noexcept;
  void stay_awake(bool yes) noexcept;
  void measure_turn() noexcept;
  void arm_timer() noexcept;
  void run_posted_functions() noexcept;
  /// Cancels what is asked to stop, if this runtime is the one that hears it.
  void hear_bell() noexcept;
  /// One turn of the loop, which sleeps if nothing is ready.
  void turn();
  void run_until_empty(const detail::task_group& group);
  /// The same, but ends at the first exception of a callback, and gives it.
  std::exception_ptr run_until_empty_or_failed(const detail::task_group& group);
  /// What libuv's callbacks call the user's functions with, as no exception may cross its C frames.
  template <class Function>
  void guarded(Function&& function) noexcept {
    const bool outer = std::exchange(in_callback, true);
    try {
      std::forward<Function>(function)();
    } catch (...) {
      callback_failed(std::current_exception());
    }
    if (owner.is_inherited()) end_fork();
    in_callback = outer;
  }
  void callback_failed(std::exception_ptr why) noexcept;
  /// Throws `std::logic_error` from inside the loop, which must not be run again there.
  void require_outside() const;

  runtime& owner;
  executor::scope current;
  std::optional<uv_loop_t> own_loop;
  uv_loop_t* loop;
  detail::handle_list handles;

  // A turn of a libuv loop is: timers, idle, prepare, poll, check. Ready coroutines run in prepare and in check; idle
  // is active only while some are left, as that keeps poll from sleeping.
  handle<uv_prepare_t>* prepare = nullptr;
  handle<uv_check_t>* check = nullptr;
  handle<uv_idle_t>* idle = nullptr;
  handle<uv_timer_t>* timer = nullptr;
  handle<uv_async_t>* wake =
      nullptr;  // posts from other threads; referenced while tasks run, to keep the loop alive

  detail::task_group tasks{nullptr};    // what `start` started
  detail::task_group closing{nullptr};  // shut-downs of services, which `cancel_all` must not reach
  std::vector<named_service> services;
  sleep_guard* guard = nullptr;
  bool asleep = false;
  bool inside = false;                          // `turn` is running the loop
  bool in_callback = false;                     // so is a host, and a coroutine or a posted function runs now
  const detail::task_group* awaited = nullptr;  // what `run_until_empty` waits for
  detail::task_group* completing = nullptr;     // what `run_until_complete` runs
  bool hears_bell = false;
  bool stopped = false;        // everything was cancelled
  bool fails = false;          // `run` is told of what callbacks throw
  std::exception_ptr failure;  // the first of them
  bool closed = false;
  bool traces = false;  // this runtime began the process's trace

  std::mutex posted_mutex;
  std::vector<std::function<void()>> posted;  // guarded by posted_mutex

  std::unique_ptr<detail::stall_meter> meter;
  std::uint64_t turn_ended = 0;
  std::uint64_t idle_total = 0;
};

}  // namespace brood
