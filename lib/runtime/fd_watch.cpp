#include "brood/runtime/fd_watch.hpp"

#include <stdexcept>

#include "brood/coroutine/async_event.hpp"
#include "runtime/runtime_state.hpp"

namespace brood {

struct fd_watch::handle : detail::loop_handle<uv_poll_t, std::function<void(int)>> {
  int watched = 0;  // events
  runtime::state* loop = nullptr;
};

namespace {

int to_uv(int events) noexcept {
  return ((events & fd_watch::readable) != 0 ? UV_READABLE : 0) |
         ((events & fd_watch::writable) != 0 ? UV_WRITABLE : 0);
}

int from_uv(int status, int events) noexcept {
  if (status < 0) return fd_watch::readable | fd_watch::writable;
  return ((events & UV_READABLE) != 0 ? fd_watch::readable : 0) |
         ((events & UV_WRITABLE) != 0 ? fd_watch::writable : 0);
}

}  // namespace

fd_watch::fd_watch(runtime& loop, int fd, std::function<void(int)> on_ready) {
  if (loop.is_inherited()) throw forked_process();
  runtime::state& state = *loop.state_;
  handle_ = handle::open<handle>(std::move(on_ready), state.handles, "uv_poll_init",
                                 [&](uv_poll_t* uv) { return uv_poll_init(state.loop, uv, fd); });
  handle_->loop = &state;
  handle_->keep_alive(true);
}

fd_watch::~fd_watch() { handle_->close(); }

void fd_watch::watch(int events) {
  if (handle_->closing) {
    if (events != 0) throw std::logic_error("brood: the runtime of this fd_watch has ended");
    return;
  }
  if (handle_->list->is_inherited()) {
    if (events != 0) throw forked_process();
    return;
  }
  // uv_poll_start takes the descriptor out of the epoll set and puts it back: two system calls, also for
  // nothing new.
  if (events == handle_->watched) return;
  if (events == 0) {
    uv_poll_stop(&handle_->uv);
    handle_->watched = 0;
    return;
  }
  const int result = uv_poll_start(&handle_->uv, to_uv(events), [](uv_poll_t* h, int status, int ready) {
    auto& self = static_cast<handle&>(handle::of(h));
    if (status < 0) self.watched = 0;  // libuv has stopped it
    if (!self.is_idle()) self.loop->guarded([&] { self.payload(from_uv(status, ready)); });
  });
  if (result < 0) sys::throw_errno("uv_poll_start", -result);
  handle_->watched = events;
}

void fd_watch::background() noexcept {
  if (!handle_->closing) handle_->keep_alive(false);
}

task<int> poll(int fd, int events) {
  int ready = 0;
  async_event came;
  fd_watch watch(runtime::current(), fd, [&](int now) {
    ready = now & events;
    watch.watch(0);
    came.set();
  });
  watch.watch(events);
  co_await came.wait();
  co_return ready;
}

}  // namespace brood
