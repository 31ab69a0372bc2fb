// The runtime: coroutines on a libuv loop, of its own or of the host application.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "brood/coroutine/detail/task_group.hpp"
#include "brood/coroutine/executor.hpp"
#include "brood/coroutine/task.hpp"
#include "brood/export.hpp"
#include "brood/runtime/snapshot.hpp"

struct uv_loop_s;

namespace brood {

class runtime;

namespace detail {

// Containers of libstdc++'s debug mode have another layout: a program that is built otherwise than the library does
// not link.
#ifdef _GLIBCXX_DEBUG
BROOD_API void library_is_built_with_GLIBCXX_DEBUG() noexcept;
[[gnu::used]] inline constexpr auto containers_as_here = &library_is_built_with_GLIBCXX_DEBUG;
#else
BROOD_API void library_is_built_without_GLIBCXX_DEBUG() noexcept;
[[gnu::used]] inline constexpr auto containers_as_here = &library_is_built_without_GLIBCXX_DEBUG;
#endif

/// This thread's runtime, made if there is none; it then lives until the thread ends.
BROOD_API runtime& runtime_for_waiting();

template <class A>
task<> drop_result(A operation) {
  co_await std::move(operation);
}

template <class R, class A>
task<> keep_result(A operation, std::optional<value_or_unit<R>>& value, std::exception_ptr& failure) {
  try {
    value.emplace(co_await await_value<R>(std::move(operation)));
  } catch (...) {
    failure = std::current_exception();
  }
}
}  // namespace detail

/// Something a storey above keeps with a runtime, such as the reaper of its children. Made by `runtime::use`.
class BROOD_API runtime_service {
 public:
  virtual ~runtime_service() = default;
  /// Ends what the service keeps running. Awaited, in reverse order of creation, before the runtime closes.
  virtual task<> shut_down() = 0;
};

/// Asked before the loop goes to sleep; the hook of the wake port.
class BROOD_API sleep_guard {
 public:
  virtual ~sleep_guard() = default;
  /// Each turn of the loop, busy or not: posts what other processes have sent meanwhile.
  virtual void look() noexcept = 0;
  /// Loop thread, nothing is ready. Announces the sleep to other processes; returns false, and posts what it found,
  /// if there is work after all. Must not block.
  virtual bool about_to_sleep() noexcept = 0;
  /// The loop is awake again. Called once after each `about_to_sleep`.
  virtual void woke_up() noexcept = 0;
};

/// How long the loop was busy between two looks at its events, in nanoseconds.
struct stall_statistics {
  std::uint64_t turns = 0;
  std::uint64_t longest = 0;
  std::uint64_t p99 = 0;
};

/// Runs tasks on one libuv loop, on one thread, that on which it was made. At most one runtime a thread. Of its members
/// only `post` may be called elsewhere; `start` and `run` throw `wrong_thread` there.
/// Lifetime: must outlive its tasks. The destructor cancels what still runs and drives the loop (a host's too) until
/// everything has ended and every handle is closed; afterwards nothing of it is left in the loop.
/// Forks: in a process that the application forked, the destructor does nothing, other members throw `forked_process`, and a
/// coroutine that returns into the loop ends that process (on a host's loop nothing happens). A new runtime can be made there.
class BROOD_API runtime final : public executor {
 public:
  /// A loop of its own. Raises the soft limit on descriptors to the hard one, as 10,000 children need as many.
  runtime();
  /// On the host's loop, which the host runs and which must outlive this. Throws `std::logic_error` if this thread
  /// has a runtime.
  explicit runtime(uv_loop_s* host_loop);
  ~runtime();

  /// The runtime of this thread, running or not. Throws `std::logic_error` where there is none.
  static runtime& current();
  /// The same, or null.
  static runtime* current_or_null() noexcept;

  using end_handler = std::function<void(std::exception_ptr)>;

  /// Starts `operation` beside everything else and keeps the loop alive until it has ended; then calls `on_end` with
  /// its error or null. Without a handler an error is logged. Its result is dropped.
  template <detail::awaitable A>
  void start(A operation, end_handler on_end = nullptr) {
    start_task(detail::drop_result(std::move(operation)), std::move(on_end));
  }

  /// Runs the loop until every started task has ended. Not from inside the loop.
  void run();
  /// Runs the loop until `operation` has ended and gives its result. Throws `std::logic_error` from inside the loop.
  template <detail::awaitable A>
  detail::await_result_t<A> run_until_complete(A operation) {
    using R = detail::await_result_t<A>;
    std::optional<detail::value_or_unit<R>> value;
    std::exception_ptr failure;
    run_task_to_end(detail::keep_result<R>(std::move(operation), value, failure));
    if (failure) std::rethrow_exception(failure);
    if constexpr (!std::is_void_v<R>) return std::move(*value);
  }

  /// Asks every started task to stop.
  void cancel_all() noexcept;

  using executor::post;
  /// Calls `function` on the loop thread soon. From any thread, while the runtime lives. What it throws, as what the
  /// callback of an fd_watch or a signal_watch throws, ends `run` or `run_until_complete`, which cancels its operation
  /// first and throws it; it is logged where neither runs. The runtime can be run again.
  void post(std::function<void()> function);

  /// This runtime's object of type `Service`, made with `Service(runtime&)` at its first use.
  template <class Service>
  Service& use() {
    if (runtime_service* found = find_service(service_key<Service>())) return static_cast<Service&>(*found);
    auto made = std::make_unique<Service>(*this);
    Service& result = *made;
    add_service(service_key<Service>(), std::move(made));
    return result;
  }
  /// The same, or null if it has not been made.
  template <class Service>
  Service* find() noexcept {
    return static_cast<Service*>(find_service(service_key<Service>()));
  }

  void set_sleep_guard(sleep_guard* guard) noexcept;

  /// Cancels what still runs and closes every service. The first half of the destructor, for those who want to await
  /// the ends themselves first; afterwards only the destructor may follow.
  void shut_down();

  /// In a fresh clone of this process: forgets this thread's runtime without touching it, as its loop and its tasks are
  /// the parent's.
  static void abandon_after_fork() noexcept;

  /// Starts measuring from now. Costs two readings of the clock each turn of the loop. Own loop only.
  void measure_stalls();
  /// Since `measure_stalls`; zeros without it.
  stall_statistics stalls() const;

  /// Writes what the family does from now on to `path`, as a Chrome trace (JSON; ui.perfetto.dev opens it): the starts
  /// and lives of children, what each runs, tasks, waits for something shared, and how long locks are held. Children
  /// started from now on write their own doings to the same file; one that is killed loses those of its last moments,
  /// while its start and its end, which its parent writes, stay. The trace is complete when this runtime has shut down.
  /// Throws `std::system_error` if it is no plain file or cannot be written, `std::logic_error` if one is written already.
  void trace(const std::filesystem::path& path);
  /// What is alive now. Costs a look at each process's place in the shared memory and at each queue.
  brood::snapshot snapshot();

  /// libuv's loop: the host's, or its own.
  uv_loop_s* loop() const noexcept;

 private:
  friend class fd_watch;
  friend class signal_watch;
  struct state;

  template <class Service>
  static const void* service_key() noexcept {
    static const char key = 0;
    return &key;
  }

  void require_own_thread() const;
  void require_not_inherited() const;
  void start_task(task<> body, end_handler on_end);
  void run_task_to_end(task<> body);  // which must not throw
  runtime_service* find_service(const void* key) const noexcept;
  void add_service(const void* key, std::unique_ptr<runtime_service> made);
  void timers_changed() override;

  std::unique_ptr<state> state_;
};

}  // namespace brood
