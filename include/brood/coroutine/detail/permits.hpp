// permits: what may be held so many times at once. A mutex is one permit, a semaphore several.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <utility>

#include "brood/coroutine/detail/waiter_list.hpp"

namespace brood::detail {

/// Strictly first come, first served: a permit that comes back belongs to the first in the list, also before that has
/// gone on, and nobody passes one who waits for more of them.
class permits {
 public:
  class waiter : public list_waiter<waiter> {
   public:
    waiter(permits& from, std::size_t count) noexcept
        : list_waiter(from.waiters_), from_(from), count_(count) {}
    bool await_ready() const { return from_.try_take(count_); }
    void abandon() noexcept {
      list_waiter::abandon();
      from_.serve();  // those behind may want less
    }
    bool give_back() noexcept {
      from_.free_ += count_;
      from_.serve();
      return true;
    }

   protected:
    permits& from_;
    std::size_t count_;

   private:
    friend permits;
  };

  explicit permits(std::size_t free) noexcept : free_(free) {}

  bool try_take(std::size_t count) {
    thread_.require();
    if (free_ < count || !waiters_.empty()) return false;
    free_ -= count;
    return true;
  }
  void give(std::size_t count) {
    thread_.require();
    free_ += count;
    serve();
  }
  std::size_t free() const noexcept { return free_; }
  std::size_t waiting() const noexcept { return waiters_.size(); }

 private:
  void serve() noexcept {
    while (!waiters_.empty() && waiters_.front().count_ <= free_) {
      free_ -= waiters_.front().count_;
      waiters_.front().wake();
    }
  }

  one_thread thread_;
  waiter_list<waiter> waiters_;
  std::size_t free_;
};

/// Some that are held; the destructor gives them back. Moves only.
class held_permits {
 public:
  held_permits() = default;
  held_permits(permits& from, std::size_t count) noexcept : from_(&from), count_(count) {}
  held_permits(held_permits&& other) noexcept
      : from_(std::exchange(other.from_, nullptr)), count_(other.count_) {}
  held_permits& operator=(held_permits&& other) noexcept {
    held_permits taken(std::move(other));
    std::swap(from_, taken.from_);
    std::swap(count_, taken.count_);
    return *this;
  }
  ~held_permits() {
    if (from_ != nullptr) from_->give(count_);
  }

  permits* from() const noexcept { return from_; }
  std::size_t count() const noexcept { return from_ != nullptr ? count_ : 0; }
  /// From now on it holds nothing. Throws `std::logic_error` if it does already.
  permits& part() {
    if (from_ == nullptr)
      throw std::logic_error("brood: released already, or moved from: nothing is held here");
    return *std::exchange(from_, nullptr);
  }

 private:
  permits* from_ = nullptr;
  std::size_t count_ = 0;
};

/// What `acquire` gives: awaited once, it gives a `Held`.
template <class Held>
class [[nodiscard]] acquire_permits {
 public:
  acquire_permits(permits& from, std::size_t count) noexcept : from_(from), count_(count) {}

  auto operator co_await() && {
    once_.spend();
    return awaiter(from_, count_);
  }

 private:
  struct awaiter : permits::waiter {
    using permits::waiter::waiter;
    [[nodiscard]] Held await_resume() {
      this->take();
      return Held(held_permits(this->from_, this->count_));
    }
  };

  permits& from_;
  std::size_t count_;
  await_once once_;
};

}  // namespace brood::detail
