// How this storey holds libuv handles: libuv owns a handle's memory until its close callback, so each is allocated on
// its own, and the runtime counts them so that it can tell when all are gone.
#pragma once

#include <uv.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "brood/coroutine/detail/forked.hpp"
#include "system/error.hpp"

namespace brood::detail {

/// The handles of one runtime.
struct handle_list {
  struct link {
    link* next = this;
    link* previous = this;
    void (*close)(link&) noexcept = nullptr;
    void unlink() noexcept {
      next->previous = previous;
      previous->next = next;
      next = previous = this;
    }
  };

  void add(link& l) noexcept {
    ++open;
    l.next = &head;
    l.previous = head.previous;
    l.previous->next = &l;
    head.previous = &l;
  }
  void close_all() noexcept {
    while (head.next != &head) head.next->close(*head.next);
  }

  /// Whether this process got it by a fork: libuv would reach the parent through descriptors that both have, as the epoll
  /// set is one.
  bool is_inherited() const noexcept { return made_at != forks; }

  const std::uint64_t made_at = forks;
  std::size_t open = 0;  // or still closing
  link head;             // those that are not closing
};

/// A libuv handle of type `Uv` with what its callbacks need; deleted when both its owner has let go of it by `close`
/// and its close callback has run: a callback may close the handle it is called for, and a watch may outlive the
/// runtime, which closes its handle in its place.
template <class Uv, class Payload>
struct loop_handle : handle_list::link {
  Uv uv{};
  Payload payload{};
  handle_list* list = nullptr;
  bool closing = false;

  /// Whether a callback must do nothing: it is on its way to a closing handle, or was meant for the parent of this fork.
  bool is_idle() const noexcept { return closing || list->is_inherited(); }

  static loop_handle& of(Uv* handle) noexcept { return *static_cast<loop_handle*>(handle->data); }

  /// Opens a `Self`, which is this or derived from it. `init` calls the `uv_..._init`, whose name is `call`.
  /// The handle does not keep the loop alive until told to.
  template <class Self = loop_handle, class Init>
  static Self* open(Payload payload, handle_list& list, const char* call, Init init) {
    auto made = std::make_unique<Self>();
    made->payload = std::move(payload);
    made->list = &list;
    made->uv.data = static_cast<loop_handle*>(made.get());
    made->destroy_ = [](loop_handle* handle) { delete static_cast<Self*>(handle); };
    if (const int result = init(&made->uv); result < 0) sys::throw_errno(call, -result);
    made->link::close = [](link& l) noexcept { static_cast<loop_handle&>(l).close_uv(); };
    list.add(*made);
    made->keep_alive(false);
    return made.release();
  }

  /// The owner lets go of it.
  void close() noexcept {
    released_ = true;
    if (closed_) {
      destroy_(this);
    } else if (!is_idle()) {
      close_uv();
    }
  }

  void keep_alive(bool yes) noexcept { yes ? uv_ref(base()) : uv_unref(base()); }

 private:
  uv_handle_t* base() noexcept { return reinterpret_cast<uv_handle_t*>(&uv); }

  void close_uv() noexcept {
    closing = true;
    unlink();
    uv_close(base(), [](uv_handle_t* handle) {
      auto* self = static_cast<loop_handle*>(handle->data);
      --self->list->open;
      self->closed_ = true;
      if (self->released_) self->destroy_(self);
    });
  }

  void (*destroy_)(loop_handle*) = nullptr;
  bool released_ = false;  // by its owner
  bool closed_ = false;    // libuv is done with it
};

}  // namespace brood::detail
