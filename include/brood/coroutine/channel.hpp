// channel<T>: items between coroutines of one loop.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/waiter_list.hpp"

namespace brood {

/// First in, first out, for any number of producers and consumers; the names are those of `queue`, which is the one
/// between processes. The room for `capacity` items is allocated by the constructor; nothing else allocates.
/// Fairness: strictly first come, first served, on either side.
/// Cancellation, of every operation: nothing was put, nothing was taken.
/// Thread: the one that uses it first; another one gets `wrong_thread`. Lifetime: must outlive its waiters; destroys
/// what is left in it.
template <class T>
class channel {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "brood::channel<T>: moving a T must not throw, or an item could be lost on its way");
  class putter;
  class taker;
  class put_operation;
  template <bool NothingAtEnd>
  class take_operation;

 public:
  /// Throws `std::invalid_argument` for a capacity of zero, and `std::bad_alloc`.
  explicit channel(std::size_t capacity) : capacity_(capacity) {
    if (capacity == 0) throw std::invalid_argument("brood::channel: a capacity of zero holds nothing");
    room_ = std::allocator<T>().allocate(capacity);
  }
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  ~channel() {
    while (size_ > 0) pop();
    std::allocator<T>().deallocate(room_, capacity_);
  }

  /// Waits while the channel is full. Throws `closed`, also when it is closed meanwhile. Awaited once.
  template <class U = T>
    requires std::convertible_to<U&&, T>
  [[nodiscard]] put_operation put(U&& item) {
    detail::require_safe_temporary<U>();
    return put_operation(*this, std::forward<U>(item));
  }
  /// Waits while the channel is empty; gives the item. Throws `closed` when it is closed and empty. Awaited once.
  [[nodiscard]] take_operation<false> get() noexcept { return take_operation<false>(*this); }
  /// The same, but an empty optional instead of `closed`.
  [[nodiscard]] take_operation<true> next() noexcept { return take_operation<true>(*this); }

  /// False if it is full, and `item` is what it was. Throws `closed`.
  template <class U = T>
    requires std::convertible_to<U&&, T>
  bool try_put(U&& item) {
    thread_.require();
    if (closed_) throw closed();
    if (!has_room()) return false;
    push(std::forward<U>(item));
    return true;
  }
  /// Empty if there is nothing, or it is somebody else's. Throws `closed` when it is closed and empty.
  std::optional<T> try_get() {
    thread_.require();
    if (is_over()) throw closed();
    if (!has_item()) return std::nullopt;
    return take();
  }

  /// No more puts; what is in the channel can still be taken. Wakes those who wait in vain. Twice is fine.
  void close() {
    thread_.require();
    closed_ = true;
    putters_.wake_all();
    if (is_over()) takers_.wake_all();
  }
  bool is_closed() const noexcept { return closed_; }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  bool full() const noexcept { return size_ == capacity_; }
  std::size_t capacity() const noexcept { return capacity_; }
  /// Coroutines that wait at this moment.
  std::size_t waiting_consumers() const noexcept { return takers_.size(); }
  std::size_t waiting_producers() const noexcept { return putters_.size(); }

 private:
  // An item, or a free place, is promised to the first who waits for it, who is woken and takes it when it goes on.
  // Until then it stays, so one who is cancelled has taken nothing and items keep their order; and a newcomer sees only
  // what is promised to nobody. So while somebody waits there is nothing for newcomers, and nobody is passed.
  bool has_item() const noexcept { return size_ > promised_items_; }
  bool has_room() const noexcept { return size_ + promised_places_ < capacity_; }
  bool is_over() const noexcept { return closed_ && size_ == 0; }

  void promise_items() noexcept {
    while (!takers_.empty() && has_item()) takers_.front().promise(promised_items_);
  }
  void promise_places() noexcept {
    while (!putters_.empty() && has_room()) putters_.front().promise(promised_places_);
  }

  template <class U>
  void push(U&& item) {
    std::size_t place = first_ + size_;
    if (place >= capacity_) place -= capacity_;
    std::construct_at(room_ + place, std::forward<U>(item));
    ++size_;
    promise_items();
  }
  T pop() noexcept {
    T* const place = room_ + first_;
    T item(std::move(*place));
    std::destroy_at(place);
    if (++first_ == capacity_) first_ = 0;
    --size_;
    return item;
  }
  T take() noexcept {
    T item = pop();
    promise_places();
    if (is_over()) takers_.wake_all();
    return item;
  }

  /// What waits at either end. `promises` counts what is promised at that end.
  template <class Waiter>
  class end_waiter : public detail::list_waiter<Waiter> {
   public:
    end_waiter(channel& c, detail::waiter_list<Waiter>& list) noexcept
        : detail::list_waiter<Waiter>(list), channel_(c) {}
    void promise(std::size_t& promises) noexcept {
      ++promises;
      promised_ = true;
      this->wake();
    }

   protected:
    bool withdraw(std::size_t& promises) noexcept {
      if (promised_) --promises;
      return std::exchange(promised_, false);
    }
    channel& channel_;

   private:
    bool promised_ = false;
  };

  class putter : public end_waiter<putter> {
   public:
    putter(channel& c, T&& item) noexcept : end_waiter<putter>(c, c.putters_), item_(std::move(item)) {}
    bool await_ready() const {
      this->channel_.thread_.require();
      return this->channel_.closed_ || this->channel_.has_room();
    }
    void await_resume() {
      this->take();
      this->withdraw(this->channel_.promised_places_);
      if (this->channel_.closed_) throw closed();
      this->channel_.push(std::move(item_));
    }
    bool give_back() noexcept {
      if (this->withdraw(this->channel_.promised_places_)) this->channel_.promise_places();
      return true;
    }

   private:
    T item_;
  };

  class taker : public end_waiter<taker> {
   public:
    explicit taker(channel& c) noexcept : end_waiter<taker>(c, c.takers_) {}
    bool await_ready() const {
      this->channel_.thread_.require();
      return this->channel_.is_over() || this->channel_.has_item();
    }
    bool give_back() noexcept {
      if (this->withdraw(this->channel_.promised_items_)) this->channel_.promise_items();
      return true;
    }

   protected:
    /// Whether there is an item: the one that was promised, or that this did not have to wait for.
    bool ends_with_item() {
      this->take();
      return this->withdraw(this->channel_.promised_items_) || this->channel_.has_item();
    }
  };

  class put_operation {
   public:
    template <class U>
    put_operation(channel& c, U&& item) : channel_(c), item_(std::forward<U>(item)) {}
    putter operator co_await() && {
      once_.spend();
      return putter(channel_, std::move(item_));
    }

   private:
    channel& channel_;
    T item_;
    detail::await_once once_;
  };

  template <bool NothingAtEnd>
  class take_operation {
   public:
    explicit take_operation(channel& c) noexcept : channel_(c) {}
    auto operator co_await() && {
      once_.spend();
      return awaiter(channel_);
    }

   private:
    struct awaiter : taker {
      using taker::taker;
      [[nodiscard]] std::conditional_t<NothingAtEnd, std::optional<T>, T> await_resume() {
        if (this->ends_with_item()) return this->channel_.take();
        if constexpr (NothingAtEnd) {
          return std::nullopt;
        } else {
          throw closed();
        }
      }
    };

    channel& channel_;
    detail::await_once once_;
  };

  detail::one_thread thread_;
  detail::waiter_list<putter> putters_;
  detail::waiter_list<taker> takers_;
  const std::size_t capacity_;
  T* room_ = nullptr;  // a ring
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  std::size_t promised_items_ = 0;   // to consumers that were woken and have not gone on
  std::size_t promised_places_ = 0;  // to producers
  bool closed_ = false;
};

}  // namespace brood
