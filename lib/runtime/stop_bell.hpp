// From a signal handler to the loop: what this process runs is asked to stop.
#pragma once

#include <atomic>
#include <cstdint>

struct uv_async_s;

namespace brood {
class runtime;

namespace detail {

/// What is asked to stop: nothing; what is awaited by `run_until_complete` now, as a pool's task is; or all of the process.
enum class asked : std::uint8_t { nothing, task, process };

/// The process's own. It is heard by the runtime that was made first and still lives, which then cancels what is asked.
class stop_bell {
 public:
  /// Async-signal-safe, from any thread: the loop wakes up and asks `who`.
  void ring() noexcept;

  /// `wake` gets an event at each ring, unless another one listens. Returns whether it listens.
  bool connect(uv_async_s& wake) noexcept;
  /// No handler uses `wake` afterwards.
  void disconnect(const uv_async_s& wake) noexcept;
  /// In a fresh clone, whose loop is its parent's.
  void reset() noexcept;

  // Set by the storey that asks.
  asked (*who)() noexcept = nullptr;
  /// Called once on the loop's thread before everything is cancelled.
  void (*on_stop)(runtime&) noexcept = nullptr;

 private:
  std::atomic<uv_async_s*> listening_ = nullptr;
  std::atomic<int> ringing_ = 0;  // handlers that may be using `listening_`
};

extern constinit stop_bell bell;

}  // namespace detail
}  // namespace brood
