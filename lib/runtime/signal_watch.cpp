#include "brood/runtime/signal_watch.hpp"

#include "runtime/runtime_state.hpp"

namespace brood {

struct signal_watch::handle : detail::loop_handle<uv_signal_t, std::function<void()>> {
  runtime::state* loop = nullptr;
};

signal_watch::signal_watch(runtime& loop, int signal, std::function<void()> on_signal) {
  runtime::state& state = *loop.state_;
  handle_ = handle::open<handle>(std::move(on_signal), state.handles, "uv_signal_init",
                                 [&](uv_signal_t* uv) { return uv_signal_init(state.loop, uv); });
  handle_->loop = &state;
  const int result = uv_signal_start(
      &handle_->uv,
      [](uv_signal_t* h, int) {
        auto& self = static_cast<handle&>(handle::of(h));
        if (!self.is_idle()) self.loop->guarded(self.payload);
      },
      signal);
  if (result < 0) {
    handle_->close();
    sys::throw_errno("uv_signal_start", -result);
  }
}

signal_watch::~signal_watch() { handle_->close(); }

}  // namespace brood
