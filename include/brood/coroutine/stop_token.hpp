// stop_source, stop_token, stop_callback: as those of the standard, without an allocation. The state is the source itself,
// which lies in a scope's frame (after stdexec's inplace_stop_token).
#pragma once

#include <atomic>
#include <concepts>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "brood/export.hpp"

namespace brood {

class stop_token;

namespace detail {

/// Somebody a source calls when it is asked to stop. Lifetime: stays where it is while it is in the source's list.
struct stop_listener {
  void (*on_stop)(stop_listener&) noexcept = nullptr;
  stop_listener* next = nullptr;
  stop_listener** place = nullptr;  // what points to it; null while it is in no list

  /// Does nothing if it is in no list.
  void leave() noexcept {
    if (place == nullptr) return;
    *place = next;
    if (next != nullptr) next->place = place;
    place = nullptr;
  }
};

}  // namespace detail

/// Who may ask for a stop. Loop thread only. Lifetime: outlives its tokens, if not its callbacks; it cannot move.
class BROOD_API stop_source {
 public:
  stop_source() = default;
  /// Nobody can ask for a stop any more: callbacks that are left are never called.
  ~stop_source() {
    while (listeners_ != nullptr) listeners_->leave();
  }
  stop_source(const stop_source&) = delete;
  stop_source& operator=(const stop_source&) = delete;

  stop_token get_token() const noexcept;
  bool stop_requested() const noexcept { return stopped_.load(std::memory_order_acquire); }
  /// Calls every callback, the youngest first. The second time does nothing.
  void request_stop() noexcept {
    if (stopped_.exchange(true, std::memory_order_acq_rel)) return;
    if (outside_.stop_possible()) outside_.request_stop();
    while (detail::stop_listener* listener = listeners_) {
      listener->leave();
      listener->on_stop(*listener);
    }
  }

  /// Calls it at the stop, unless it leaves before; at once if that has been asked for.
  void add(detail::stop_listener& listener) noexcept {
    if (stop_requested()) return listener.on_stop(listener);
    listener.next = listeners_;
    listener.place = &listeners_;
    if (listeners_ != nullptr) listeners_->place = &listener.next;
    listeners_ = &listener;
  }

 private:
  friend class stop_token;
  std::stop_token outside() {
    if (!outside_.stop_possible()) {
      outside_ = std::stop_source();
      if (stop_requested()) outside_.request_stop();
    }
    return outside_.get_token();
  }

  std::atomic<bool> stopped_ = false;
  detail::stop_listener* listeners_ = nullptr;
  std::stop_source outside_{std::nostopstate};  // for those who want the standard's
};

/// Tells whether its source was asked to stop: from any thread, while the source lives. To keep it for longer, or to give
/// it to what takes a `std::stop_token`, convert it, on the loop's thread: that one allocates and outlives the source.
class stop_token {
 public:
  stop_token() = default;
  explicit stop_token(const stop_source* source) noexcept : source_(const_cast<stop_source*>(source)) {}

  bool stop_requested() const noexcept { return source_ != nullptr && source_->stop_requested(); }
  bool stop_possible() const noexcept { return source_ != nullptr; }
  operator std::stop_token() const { return source_ == nullptr ? std::stop_token() : source_->outside(); }
  friend bool operator==(const stop_token&, const stop_token&) = default;

  /// See `stop_source::add`. Does nothing if a stop is not possible.
  void add(detail::stop_listener& listener) const noexcept {
    if (source_ != nullptr) source_->add(listener);
  }

 private:
  stop_source* source_ = nullptr;
};

inline stop_token stop_source::get_token() const noexcept { return stop_token(this); }

/// Calls `function`, which must not throw, when the token's source is asked to stop, on the loop's thread; at once, in
/// the constructor, if it was. Not any more once this is destroyed.
template <std::invocable Function>
class [[nodiscard]] stop_callback : detail::stop_listener {
 public:
  template <std::convertible_to<Function> F>
  stop_callback(stop_token token, F&& function) : function_(std::forward<F>(function)) {
    on_stop = [](detail::stop_listener& self) noexcept { static_cast<stop_callback&>(self).function_(); };
    token.add(*this);
  }
  ~stop_callback() { leave(); }
  stop_callback(const stop_callback&) = delete;
  stop_callback& operator=(const stop_callback&) = delete;

 private:
  Function function_;
};
template <class F>
stop_callback(stop_token, F) -> stop_callback<F>;

}  // namespace brood
