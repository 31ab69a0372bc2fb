// From a signal handler to the loop: this process is asked to stop.
#pragma once

#include <atomic>

struct uv_async_s;

namespace brood {
class runtime;

namespace detail {

/// The process's own. It is heard by the runtime that was made first and still lives, which then cancels all that it runs.
class stop_bell {
 public:
  /// Async-signal-safe, from any thread; the second time does nothing.
  void ring() noexcept;
  bool rung() const noexcept { return rung_.load(std::memory_order_acquire); }

  /// `wake` gets an event at the ring, or now if it was rung already, unless another one listens. Returns whether it listens.
  bool connect(uv_async_s& wake) noexcept;
  /// No handler uses `wake` afterwards.
  void disconnect(const uv_async_s& wake) noexcept;
  /// In a fresh clone, whose loop is its parent's.
  void reset() noexcept;

  /// Called on the loop's thread before its tasks are cancelled; the storey that asks sets it.
  void (*on_ring)(runtime&) noexcept = nullptr;

 private:
  std::atomic<uv_async_s*> listening_ = nullptr;
  std::atomic<int> ringing_ = 0;  // handlers that may be using `listening_`
  std::atomic<bool> rung_ = false;
};

extern constinit stop_bell bell;

}  // namespace detail
}  // namespace brood
