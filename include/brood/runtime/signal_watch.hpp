// signal_watch: a signal to this process, as a callback on the loop thread.
#pragma once

#include <functional>

#include "brood/export.hpp"

namespace brood {

class runtime;

/// Calls `on_signal` on the loop thread whenever `signal` arrives (libuv's `uv_signal_t`), instead of the default
/// action. Does not keep the loop alive. Destroying the last watch of a signal restores the default action; it may
/// be destroyed from inside its own callback.
class BROOD_API signal_watch {
 public:
  signal_watch(runtime& loop, int signal, std::function<void()> on_signal);
  ~signal_watch();
  signal_watch(const signal_watch&) = delete;
  signal_watch& operator=(const signal_watch&) = delete;

 private:
  struct handle;
  handle* handle_;
};

}  // namespace brood
