// How this storey holds libuv handles: libuv owns a handle's memory until its close callback, so each is allocated on
// its own, and the runtime counts them so that it can tell when all are gone.
#pragma once

#include <uv.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "system/error.hpp"

namespace brood::detail {

/// Handles of one runtime that are open or still closing.
struct handle_count {
  std::size_t open = 0;
};

/// A libuv handle of type `Uv` with what its callbacks need; deleted by its own close callback, so a callback may
/// close the handle it is called for.
template <class Uv, class Payload>
struct loop_handle {
  Uv uv{};
  Payload payload{};
  handle_count* count = nullptr;
  bool closing = false;  // a callback that is on its way to a closing handle must do nothing

  static loop_handle& of(Uv* handle) noexcept { return *static_cast<loop_handle*>(handle->data); }

  /// Opens a `Self`, which is this or derived from it. `init` calls the `uv_..._init`, whose name is `call`.
  /// The handle does not keep the loop alive until told to.
  template <class Self = loop_handle, class Init>
  static Self* open(Payload payload, handle_count& count, const char* call, Init init) {
    auto made = std::make_unique<Self>();
    made->payload = std::move(payload);
    made->count = &count;
    made->uv.data = static_cast<loop_handle*>(made.get());
    made->destroy_ = [](loop_handle* handle) { delete static_cast<Self*>(handle); };
    if (const int result = init(&made->uv); result < 0) sys::throw_errno(call, -result);
    ++count.open;
    made->keep_alive(false);
    return made.release();
  }

  void close() noexcept {
    closing = true;
    uv_close(base(), [](uv_handle_t* handle) {
      auto* self = static_cast<loop_handle*>(handle->data);
      --self->count->open;
      self->destroy_(self);
    });
  }

  void keep_alive(bool yes) noexcept { yes ? uv_ref(base()) : uv_unref(base()); }

 private:
  uv_handle_t* base() noexcept { return reinterpret_cast<uv_handle_t*>(&uv); }

  void (*destroy_)(loop_handle*) = nullptr;
};

}  // namespace brood::detail
