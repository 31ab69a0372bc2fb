// The runtime drives an executor from five libuv handles; see runtime_state.hpp for what each does.
#include "brood/runtime/runtime.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <new>
#include <stdexcept>
#include <thread>

#include "brood/runtime/detail/describe.hpp"
#include "brood/system/unique_fd.hpp"
#include "runtime/log.hpp"
#include "runtime/runtime_state.hpp"
#include "runtime/stop_bell.hpp"
#include "runtime/trace_file.hpp"
#include "system/calls.hpp"
#include "system/descriptor.hpp"
#include "system/error.hpp"

namespace brood {
namespace {

thread_local runtime* runtime_of_thread = nullptr;
thread_local std::unique_ptr<runtime> runtime_kept_for_waiting;  // see sync_wait

// How long coroutines may run before the loop looks at its events again.
constexpr auto ready_budget = std::chrono::microseconds(200);

void raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (sys::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    sys::setrlimit(RLIMIT_NOFILE,
                   &limit);  // a refusal leaves the old limit, which spawning reports when it is reached
  }
}

/// Where uv_loop_init does not get its six descriptors, libuv ends the process, or keeps some of them open (1.44).
void require_descriptors_for_libuv() {
  std::array<unique_fd, 6> wanted;
  for (unique_fd& each : wanted) each = sys::duplicate(STDERR_FILENO);
}

void check_uv(int result, const char* call) {
  if (result < 0) sys::throw_errno(call, -result);
}

void abandon_in_fork() {
  detail::forked = true;
  detail::trace_file::abandon();
  runtime::abandon_after_fork();
}

/// Once in a process: from now on a fork knows that the runtimes are not its own.
void prepare_for_forks() {
  static const bool prepared = [] {
    if (const int error = sys::at_fork(abandon_in_fork)) sys::throw_errno("pthread_atfork", error);
    return true;
  }();
  static_cast<void>(prepared);
}

// What the storeys above add to a snapshot: the memory, the children, and room for more.
std::array<void (*)(runtime&, snapshot&), 4> snapshot_sources{};

void end_trace() noexcept {
  try {
    detail::trace_file::end();
  } catch (const std::exception& e) {
    detail::log_error("the trace is not complete: {}", e.what());
  }
}

/// What ends a runtime must not be left out for want of memory: it is tried again for a while. Where there is none for a
/// second, the process ends, as it does by any exception of a destructor.
template <class F>
void insist(F start) {
  constexpr int tries = 1000;
  for (int i = 1;; ++i) {
    try {
      return start();
    } catch (const std::bad_alloc&) {
      if (i == tries) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

task<> report_end(task<> body, runtime::end_handler on_end) {
  std::exception_ptr failure;
  try {
    co_await std::move(body);
  } catch (...) {
    failure = std::current_exception();
  }
  if (on_end) {
    on_end(failure);
  } else if (failure) {
    detail::log_error("a started task failed: {}", detail::describe(failure));
  }
}

}  // namespace

// --- state: the handles and their turns ---

runtime::state::state(runtime& runtime, uv_loop_s* host_loop)
    : owner(runtime), current(runtime), loop(host_loop) {
  sys::fill_standard_streams();  // libuv's descriptors are ours too
  if (loop == nullptr) {
    raise_descriptor_limit();
    require_descriptors_for_libuv();
    own_loop.emplace();
    loop = &*own_loop;
    check_uv(uv_loop_init(loop), "uv_loop_init");
  }
  try {
    open_handles();
  } catch (...) {
    close();
    throw;
  }
}

runtime::state::~state() { close(); }

void runtime::state::close() noexcept {
  close_handles();
  handles.close_all();  // watches that outlive the runtime
  while (handles.open > 0) uv_run(loop, UV_RUN_NOWAIT);
  if (own_loop && uv_loop_close(loop) != 0) {
    detail::log_error("a loop was closed while handles of somebody else were open in it");
  }
}

void runtime::state::open_handles() {
  wake = handle<uv_async_t>::open(this, handles, "uv_async_init", [this](uv_async_t* uv) {
    return uv_async_init(loop, uv, [](uv_async_t* h) {
      auto& self = handle<uv_async_t>::of(h);
      if (self.is_idle()) return;
      self.payload->hear_bell();
      self.payload->run_posted_functions();
    });
  });
  prepare = handle<uv_prepare_t>::open(this, handles, "uv_prepare_init",
                                       [this](uv_prepare_t* uv) { return uv_prepare_init(loop, uv); });
  check = handle<uv_check_t>::open(this, handles, "uv_check_init",
                                   [this](uv_check_t* uv) { return uv_check_init(loop, uv); });
  idle = handle<uv_idle_t>::open(this, handles, "uv_idle_init",
                                 [this](uv_idle_t* uv) { return uv_idle_init(loop, uv); });
  timer = handle<uv_timer_t>::open(this, handles, "uv_timer_init",
                                   [this](uv_timer_t* uv) { return uv_timer_init(loop, uv); });
  uv_prepare_start(&prepare->uv, [](uv_prepare_t* h) { handle<uv_prepare_t>::of(h).payload->before_poll(); });
  uv_check_start(&check->uv, [](uv_check_t* h) { handle<uv_check_t>::of(h).payload->after_poll(); });
  hears_bell = detail::bell.connect(wake->uv);
}

void runtime::state::close_handles() noexcept {
  if (wake != nullptr) {
    detail::bell.disconnect(wake->uv);
    wake->close();
  }
  if (prepare != nullptr) prepare->close();
  if (check != nullptr) check->close();
  if (idle != nullptr) idle->close();
  if (timer != nullptr) timer->close();
}

void runtime::state::stay_awake(bool yes) noexcept {
  if (yes) {
    uv_idle_start(&idle->uv, [](uv_idle_t*) {});
  } else {
    uv_idle_stop(&idle->uv);
  }
}

void runtime::state::run_ready() noexcept {
  const bool outer = std::exchange(in_callback, true);
  owner.run_ready(ready_budget);
  if (owner.is_inherited()) end_fork();
  in_callback = outer;
}

/// A coroutine forked and has come back: it must not go on as if it were the parent.
void runtime::state::end_fork() noexcept {
  if (!own_loop) return;  // whoever runs the loop decides
  detail::log_error(
      "process {} was forked in a coroutine, and ends as that comes back to the loop of its parent",
      getpid());
  _exit(1);
}

void runtime::state::before_poll() noexcept {
  if (owner.is_inherited()) return;
  if (guard != nullptr) guard->look();
  run_ready();
  bool awake = owner.has_ready() || (awaited != nullptr && awaited->running() == 0);
  if (!awake && guard != nullptr) {
    asleep = true;
    awake = !guard->about_to_sleep();
  }
  stay_awake(awake);
  wake->keep_alive(inside || tasks.running() > 0);
  if (meter) measure_turn();
}

void runtime::state::after_poll() noexcept {
  if (owner.is_inherited()) return;
  if (std::exchange(asleep, false)) guard->woke_up();
  run_ready();
}

void runtime::state::measure_turn() noexcept {
  const std::uint64_t now = uv_hrtime();
  const std::uint64_t idle_now = uv_metrics_idle_time(loop);
  if (turn_ended != 0) meter->add(now - turn_ended - std::min(now - turn_ended, idle_now - idle_total));
  turn_ended = now;
  idle_total = idle_now;
}

void runtime::state::arm_timer() noexcept {
  const auto due = owner.next_timer();
  if (due == clock::time_point::max()) return;
  // libuv counts in whole milliseconds from the start of the turn: round up from now, as early would be wrong.
  uv_update_time(loop);
  const auto now = clock::now();
  const auto wait =
      due > now ? std::chrono::ceil<std::chrono::milliseconds>(due - now) : std::chrono::milliseconds(0);
  uv_timer_start(
      &timer->uv,
      [](uv_timer_t* h) {
        state* self = handle<uv_timer_t>::of(h).payload;
        if (self->owner.is_inherited()) return;
        self->owner.post_due_timers(clock::now());
        self->arm_timer();
      },
      static_cast<std::uint64_t>(wait.count()), 0);
}

void runtime::state::run_posted_functions() noexcept {
  std::vector<std::function<void()>> functions;
  {
    std::lock_guard guarded(posted_mutex);
    functions.swap(posted);
  }
  for (auto& function : functions) {
    guarded(function);
    if (owner.is_inherited()) return;
  }
}

void runtime::state::hear_bell() noexcept {
  if (!hears_bell || detail::bell.who == nullptr) return;
  const detail::asked who = detail::bell.who();
  if (who == detail::asked::nothing) return;
  if (who == detail::asked::process && !std::exchange(stopped, true)) {
    if (detail::bell.on_stop != nullptr) detail::bell.on_stop(owner);
    tasks.request_stop();
  }
  if (completing != nullptr) completing->request_stop();
}

void runtime::state::turn() {
  inside = true;
  wake->keep_alive(true);
  uv_run(loop, UV_RUN_ONCE);
  inside = false;
}

void runtime::state::require_outside() const {
  if (inside || in_callback) {
    throw std::logic_error("brood: this thread's loop is running already; co_await instead of waiting");
  }
}

void runtime::state::run_until_empty(const detail::task_group& group) {
  awaited = &group;
  while (group.running() > 0) turn();
  awaited = nullptr;
}

std::exception_ptr runtime::state::run_until_empty_or_failed(const detail::task_group& group) {
  awaited = &group;
  fails = true;
  while (group.running() > 0 && !failure) turn();
  fails = false;
  awaited = nullptr;
  return std::exchange(failure, nullptr);
}

void runtime::state::callback_failed(std::exception_ptr why) noexcept {
  try {
    if (!fails || failure) return detail::log_error("a callback failed: {}", detail::describe(why));
    failure = std::move(why);
  } catch (...) {  // no memory for the text
  }
}

// --- runtime ---

runtime::runtime() : runtime(nullptr) {}

runtime::runtime(uv_loop_s* host_loop) {
  if (runtime_of_thread != nullptr) throw std::logic_error("brood: this thread has a runtime already");
  prepare_for_forks();
  state_ = std::make_unique<state>(*this, host_loop);
  runtime_of_thread = this;
}

runtime::~runtime() {
  if (is_inherited()) {
    static_cast<void>(state_.release());  // the loop and all that is in it are the parent's
    return;
  }
  if (!state_->closed) shut_down();
  state_.reset();
  runtime_of_thread = nullptr;
}

runtime& runtime::current() {
  executor::current();  // throws where there is none
  return *runtime_of_thread;
}

[[gnu::hot]] runtime* runtime::current_or_null() noexcept { return runtime_of_thread; }

runtime& detail::runtime_for_waiting() {
  if (runtime_of_thread == nullptr) runtime_kept_for_waiting = std::make_unique<runtime>();
  return *runtime_of_thread;
}

void runtime::abandon_after_fork() noexcept {
  ++detail::forks;
  static_cast<void>(runtime_kept_for_waiting.release());
  runtime_of_thread = nullptr;
  detail::bell.reset();
  forget_current();
}

void runtime::start_task(task<> body, end_handler on_end) {
  require_own_thread();
  state_->tasks.start(report_end(std::move(body), std::move(on_end)));
  state_->wake->keep_alive(true);
}

void runtime::require_not_inherited() const {
  if (is_inherited()) throw forked_process();
}

void runtime::require_own_thread() const {
  require_not_inherited();
  if (runtime_of_thread != this) throw wrong_thread();
}

void runtime::run() {
  require_own_thread();
  state_->require_outside();
  state_->hear_bell();
  if (const auto failure = state_->run_until_empty_or_failed(state_->tasks)) std::rethrow_exception(failure);
}

void runtime::run_task_to_end(task<> body) {
  require_own_thread();
  state_->require_outside();  // before anything starts: a refused task must not be in the ready queue
  detail::task_group only(nullptr);
  only.start(std::move(body));
  state_->completing = &only;
  state_->hear_bell();
  const auto failure = state_->run_until_empty_or_failed(only);
  state_->completing = nullptr;
  if (!failure) return;
  only.request_stop();
  state_->run_until_empty(only);
  std::rethrow_exception(failure);
}

void runtime::cancel_all() noexcept {
  if (!is_inherited()) state_->tasks.request_stop();
}

void runtime::shut_down() {
  require_not_inherited();
  state_->require_outside();
  state_->closed = true;
  cancel_all();
  state_->run_until_empty(state_->tasks);
  while (!state_->services.empty()) {
    const auto ending = state_->services.back().service.get();  // which may make another one while it ends
    insist([&] { state_->closing.start(report_end(ending->shut_down(), nullptr)); });
    state_->run_until_empty(state_->closing);
    state_->run_until_empty(state_->tasks);  // which the service may have started while it ended
    const auto place = std::find_if(state_->services.begin(), state_->services.end(),
                                    [ending](const auto& entry) { return entry.service.get() == ending; });
    const auto ended = std::move(*place);
    state_->services.erase(place);
  }
  if (std::exchange(state_->traces, false)) end_trace();
}

void runtime::trace(const std::filesystem::path& path) {
  detail::trace_file::begin(path);
  state_->traces = true;
  const std::string unknown = "main";
  const auto name = detail::logging.process_name;
  detail::trace_file::current()->name_process(getpid(), name != nullptr ? name() : unknown);
}

snapshot runtime::snapshot() {
  brood::snapshot counted;
  counted.tasks = state_->tasks.running();
  for (const auto add : snapshot_sources) {
    if (add != nullptr) add(*this, counted);
  }
  return counted;
}

void detail::add_snapshot_source(void (*add)(runtime&, snapshot&)) noexcept {
  const auto place = std::find_if(snapshot_sources.begin(), snapshot_sources.end(),
                                  [add](const auto known) { return known == nullptr || known == add; });
  if (place != snapshot_sources.end()) *place = add;
}

void runtime::post(std::function<void()> function) {
  require_not_inherited();
  {
    std::lock_guard guarded(state_->posted_mutex);
    state_->posted.push_back(std::move(function));
  }
  uv_async_send(&state_->wake->uv);
}

runtime_service* runtime::find_service(const void* key) const noexcept {
  for (auto& entry : state_->services) {
    if (entry.key == key) return entry.service.get();
  }
  return nullptr;
}

void runtime::add_service(const void* key, std::unique_ptr<runtime_service> made) {
  state_->services.push_back({key, std::move(made)});
}

void runtime::set_sleep_guard(sleep_guard* guard) noexcept {
  state_->guard = guard;
  state_->asleep = false;
}

void runtime::measure_stalls() {
  check_uv(uv_loop_configure(state_->loop, UV_METRICS_IDLE_TIME), "uv_loop_configure");
  state_->meter = std::make_unique<detail::stall_meter>();
  state_->turn_ended = 0;
}

stall_statistics runtime::stalls() const {
  return state_->meter ? state_->meter->statistics() : stall_statistics{};
}

uv_loop_s* runtime::loop() const noexcept { return state_->loop; }

void runtime::timers_changed() { state_->arm_timer(); }

}  // namespace brood
