#include "process/stopping.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>

#include "brood/coroutine/async_event.hpp"
#include "brood/process/current.hpp"
#include "process/family.hpp"
#include "process/supervisor.hpp"
#include "runtime/stop_bell.hpp"
#include "system/signals.hpp"

namespace brood {
namespace detail::stopping {
namespace {

/// For coroutines that wait to be asked.
class notice final : public runtime_service {
 public:
  explicit notice(runtime&) noexcept {}
  task<> shut_down() override { co_return; }
  async_event asked;
};

std::uint64_t stop_by() noexcept {
  const spawn_slot* slot = family::get().slot;
  return slot == nullptr
             ? 0
             : std::atomic_ref(const_cast<spawn_slot*>(slot)->stop_by).load(std::memory_order_acquire);
}

asked who_is_asked() noexcept {
  if (stop_by() != 0) return asked::process;
  const family& self = family::get();
  const bool task =
      self.task != nullptr && (self.task->load(std::memory_order_acquire) & self.task_asked) != 0;
  return task ? asked::task : asked::nothing;
}

void on_terminate(int, siginfo_t* info, void*) noexcept {
  const int kept = errno;
  const bool is_request = info->si_code == SI_QUEUE && info->si_value.sival_int == request_mark;
  if (is_request || stop_by() != 0) {
    bell.ring();
  } else {
    sys::end_by_default(SIGTERM);
  }
  errno = kept;
}

void tell(runtime& loop) noexcept {
  if (auto* waiting = loop.find<notice>()) waiting->asked.set();
  if (auto* children = loop.find<supervisor>()) children->stop_joining();
}

}  // namespace

void install_handler() noexcept {
  bell.who = &who_is_asked;
  bell.on_stop = &tell;
  sys::set_signal_handler(SIGTERM, &on_terminate);
}

[[gnu::hot]] void begin_child(const spawn_slot& slot) noexcept { family::get().slot = &slot; }
void forget() noexcept {
  family::get().slot = nullptr;
  family::get().signal_came = false;
  family::get().task = nullptr;
}

void watch_task(const std::atomic<std::uint64_t>& word, std::uint64_t mask) noexcept {
  family::get().task_asked = mask;
  family::get().task = &word;
}

bool requested() noexcept { return family::get().signal_came || who_is_asked() != asked::nothing; }

std::chrono::nanoseconds shortened(std::chrono::nanoseconds limit) noexcept {
  const std::uint64_t end = stop_by();
  if (end == 0) return limit;
  const std::chrono::nanoseconds left =
      clock::time_point(clock::duration(static_cast<clock::rep>(end))) - clock::now();
  constexpr std::chrono::nanoseconds own_end = std::chrono::milliseconds(200);
  return std::min(limit, std::max(left - std::min(left / 4, own_end), std::chrono::nanoseconds(1)));
}

void forget_signal() noexcept { family::get().signal_came = false; }

void note_signal(runtime& loop) noexcept {
  family::get().signal_came = true;
  tell(loop);
}

}  // namespace detail::stopping

bool this_process::stop_requested() const noexcept { return detail::stopping::requested(); }

task<> stop_requested() {
  namespace stopping = detail::stopping;
  auto& notice = runtime::current().use<stopping::notice>();
  try {
    if (!stopping::requested()) co_await notice.asked.wait();
  } catch (const cancelled&) {
    if (!stopping::requested()) throw;  // the request cancels too
  }
}

}  // namespace brood
