#include "runtime/stop_bell.hpp"

#include <uv.h>

namespace brood::detail {

constinit stop_bell bell;

void stop_bell::ring() noexcept {
  ++ringing_;
  if (uv_async_s* wake = listening_) uv_async_send(wake);  // async-signal-safe, as libuv says
  --ringing_;
}

bool stop_bell::connect(uv_async_s& wake) noexcept {
  uv_async_s* nobody = nullptr;
  return listening_.compare_exchange_strong(nobody, &wake);
}

void stop_bell::disconnect(const uv_async_s& wake) noexcept {
  if (listening_ != &wake) return;
  listening_ = nullptr;
  while (ringing_ !=
         0) {  // a handler on another thread, for some instructions; one on this thread has returned
  }
}

void stop_bell::reset() noexcept {
  listening_ = nullptr;
  ringing_ = 0;
}

}  // namespace brood::detail
