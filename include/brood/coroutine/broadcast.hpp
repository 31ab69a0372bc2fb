// broadcast<T>: every subscriber gets every item, and none of them can hold up the sender.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "brood/coroutine/detail/waiter_list.hpp"

namespace brood {

/// A subscriber was slower than the sender: so many items are gone. It goes on with the oldest that is left.
class lagged : public error {
 public:
  explicit lagged(std::uint64_t items)
      : error("a subscriber was too slow and missed " + std::to_string(items) + " items"), missed(items) {}
  std::uint64_t missed;
};

/// Keeps the last `kept` items, for those who have not read them yet. Each subscriber gets a copy of what is sent after
/// it came. Sending allocates nothing but what copying an item does.
/// Thread: the one that uses it first; another one gets `wrong_thread`. Lifetime: must outlive its subscribers.
template <class T>
class broadcast {
  class waiter;

 public:
  /// Reads items in their order, one coroutine at a time. A copy begins where the original is.
  class subscriber {
   public:
    /// Waits for the next item; gives nothing when the broadcast is closed and all was read. Throws `lagged` if items
    /// were missed. One coroutine at a time: of several that wait with one subscriber some may get `std::logic_error`.
    /// Cancellation: nothing was taken. Lifetime: the subscriber must outlive it.
    [[nodiscard]] auto next() noexcept { return operation(*this); }
    /// Items that were sent and not read, those that are gone included.
    std::uint64_t behind() const noexcept { return from_->sent_ - next_; }

   private:
    friend broadcast;
    explicit subscriber(broadcast& from) noexcept : from_(&from), next_(from.sent_) {}

    std::optional<T> read() {
      const std::uint64_t oldest = from_->sent_ - from_->kept();
      if (next_ < oldest) {
        const std::uint64_t missed = oldest - next_;
        next_ = oldest;
        throw lagged(missed);
      }
      if (next_ == from_->sent_) {
        if (from_->closed_) return std::nullopt;
        throw std::logic_error(
            "brood::broadcast: two coroutines wait with one subscriber; give each its own");
      }
      std::optional<T> item = from_->items_[next_ % from_->items_.size()];
      ++next_;
      return item;
    }

    broadcast* from_;
    std::uint64_t next_;
  };

  /// Throws `std::invalid_argument` for none, and `std::bad_alloc`.
  explicit broadcast(std::size_t kept) : items_(kept) {
    if (kept == 0) throw std::invalid_argument("brood::broadcast: it must keep at least one item");
  }
  broadcast(const broadcast&) = delete;
  broadcast& operator=(const broadcast&) = delete;

  subscriber subscribe() {
    thread_.require();
    return subscriber(*this);
  }
  /// Never waits: the oldest item goes if there is no room. Throws `closed`.
  void send(T item) {
    thread_.require();
    if (closed_) throw closed();
    items_[sent_ % items_.size()] = std::move(item);
    ++sent_;
    waiters_.wake_all();
  }
  /// No more will come. Twice is fine.
  void close() {
    thread_.require();
    closed_ = true;
    waiters_.wake_all();
  }
  bool is_closed() const noexcept { return closed_; }
  /// Subscribers that wait at this moment.
  std::size_t waiting() const noexcept { return waiters_.size(); }

 private:
  class waiter : public detail::list_waiter<waiter> {
   public:
    explicit waiter(subscriber& s) noexcept
        : detail::list_waiter<waiter>(s.from_->waiters_), subscriber_(s) {}
    bool await_ready() const {
      subscriber_.from_->thread_.require();
      return subscriber_.behind() > 0 || subscriber_.from_->closed_;
    }
    std::optional<T> await_resume() {
      this->take();
      return subscriber_.read();
    }
    static bool give_back() noexcept { return true; }  // it is read when the coroutine goes on

   private:
    subscriber& subscriber_;
  };

  struct operation {
    explicit operation(subscriber& s) noexcept : of(s) {}
    waiter operator co_await() const noexcept { return waiter(of); }
    subscriber& of;
  };

  std::uint64_t kept() const noexcept { return sent_ < items_.size() ? sent_ : items_.size(); }

  detail::one_thread thread_;
  detail::waiter_list<waiter> waiters_;
  std::vector<std::optional<T>> items_;  // a ring
  std::uint64_t sent_ = 0;
  bool closed_ = false;
};

}  // namespace brood
