// queue<T>: messages between any number of producers and consumers in any processes of the family.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include "brood/arena/codec.hpp"
#include "brood/channel/detail/queue_operations.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/task.hpp"

namespace brood {

/// A capacity for `queue`: as many items as the arena holds.
struct unbounded_capacity {};
constexpr unbounded_capacity unbounded() noexcept { return {}; }

/// A message on lease. Until `done` it belongs to the queue: if this is dropped, or its process dies, it goes back to
/// the front and another consumer gets it. Moves only. A process that got it by `fork` does not own it.
template <class T>
class lease {
 public:
  lease(lease&&) noexcept = default;
  lease& operator=(lease&& other) noexcept {
    lease taken(std::move(other));
    std::swap(hold_, taken.hold_);
    std::swap(value_, taken.value_);
    return *this;
  }

  T& operator*() noexcept { return value_; }
  T* operator->() noexcept { return &value_; }
  /// The message is dealt with; counts as `task_done`. Once only: throws `std::logic_error` the second time.
  void done() { hold_.settle(); }

 private:
  friend class detail::lease_awaiter<T, false>;
  friend class detail::lease_awaiter<T, true>;
  lease(detail::lease_hold hold, T value) : hold_(std::move(hold)), value_(std::move(value)) {}

  detail::lease_hold hold_;
  T value_;
};

/// A first-in, first-out queue in shared memory. A small handle: copies name the same queue, in this process, in others
/// and inside messages. It lives until the last handle of the last process and message is gone.
/// Order: items of one producer come out in the order they were put; `get` can see an item once its `put` returned.
/// Deaths: a producer killed in `put` has put its item or has not; one taken by `get` dies with its consumer, one taken
/// by `get_leased` comes back. No death stops the others.
/// Memory: items up to 248 bytes lie in the queue, larger ones in blocks of the arena; `arena_full` is thrown at the
/// `put` that did not fit, and changes nothing.
/// Cancellation, of every operation: nothing was put, nothing was taken.
/// Thread: the one that runs this process's loop. Lifetime: an awaitable keeps the queue alive. Forks: every use throws
/// `forked_process` in a process that the application forked by itself.
template <class T>
class queue {
  static_assert((detail::require_codable<T>(), true),
                "brood::queue<T>: T must be a type that can travel between processes");

 public:
  /// Throws `std::invalid_argument` for a capacity of zero, `arena_full`, and `std::logic_error` without `brood::init`.
  explicit queue(std::uint64_t capacity) : core_(make(capacity)) {}
  explicit queue(unbounded_capacity) : core_(make(detail::unlimited)) {}
  /// 1024 items. The memory is taken at its first use; `std::logic_error` if this was made before `brood::init`, as in a
  /// global variable.
  queue() : core_(detail::no_object_yet<detail::queue_core>()) {}
  queue(const queue& other) : core_(other.core()) {}
  /// As a copy: one that was moved from names the queue still.
  queue(queue&& other) noexcept : core_(other.core_) {}
  queue& operator=(const queue& other) {
    core_ = other.core();
    return *this;
  }
  queue& operator=(queue&& other) noexcept {
    core_ = other.core_;
    return *this;
  }

  /// Waits while the queue is full. Throws `closed`. The value is encoded here, so it need not live on.
  template <class U = T>
    requires std::convertible_to<U&&, const T&>
  [[nodiscard]] detail::put_operation<T> put(U&& value) const {
    detail::require_safe_temporary<U>();
    return {core(), value};
  }
  /// Waits while the queue is empty; gives the item. Throws `closed` when the queue is closed and drained: nothing in it
  /// and nothing on lease, as a lease may come back. (So call `done` before you ask a closed queue for the next.)
  [[nodiscard]] detail::get_operation<T, false> get() const {
    return detail::get_operation<T, false>(core());
  }
  /// The same, but an empty optional instead of `closed`.
  [[nodiscard]] detail::get_operation<T, true> next() const { return detail::get_operation<T, true>(core()); }

  /// False if it is full. Throws `closed`.
  template <class U = T>
    requires std::convertible_to<U&&, const T&>
  bool try_put(U&& value) const {
    detail::require_safe_temporary<U>();
    detail::put_message<T> message(*core(), value);
    const auto outcome = message.put(*core_);
    if (outcome == detail::put_outcome::closed) throw closed();
    return outcome == detail::put_outcome::done;
  }
  /// Empty if the queue is. Throws `closed` when it is closed and drained.
  std::optional<T> try_get() const {
    detail::got_message<T> message;
    const auto outcome = message.take(*core());
    if (outcome == detail::take_outcome::closed) throw closed();
    if (outcome == detail::take_outcome::empty) return std::nullopt;
    return message.value();
  }

  /// Puts every item in order, waiting as often as the queue is full; wakes consumers by the batch.
  /// Cancellation: those put before it are in the queue.
  template <std::ranges::input_range R>
    requires std::convertible_to<std::ranges::range_reference_t<R>, const T&>
  [[nodiscard]] task<> put_many(R&& range) const {
    detail::require_safe_temporary<R>();
    return put_all<std::remove_cvref_t<R>>(*this, std::forward<R>(range));
  }
  /// Waits for one item, then takes as many more as are there, at most `most`. Throws `closed` as `get`.
  [[nodiscard]] task<std::vector<T>> get_many(std::size_t most) const { return get_several(*this, most); }

  /// As `get`, for an item that must not be lost.
  [[nodiscard]] detail::lease_operation<T, false> get_leased() const {
    return detail::lease_operation<T, false>(core());
  }
  /// The same, but an empty optional instead of `closed`.
  [[nodiscard]] detail::lease_operation<T, true> next_leased() const {
    return detail::lease_operation<T, true>(core());
  }

  /// Of this moment; other processes go on meanwhile. Items on lease are not counted.
  std::uint64_t size() const { return core()->size(); }
  bool empty() const { return size() == 0; }
  /// Whether a put would wait. Items on lease and those that came back take no room.
  bool full() const { return core()->is_full(); }
  /// The largest number there is if unbounded.
  std::uint64_t capacity() const { return core()->capacity(); }

  /// No more puts; what is in the queue can still be taken. Wakes everyone. Closing twice is fine.
  void close() const { core()->close(); }
  bool is_closed() const { return core()->is_closed(); }

  /// Coroutines, of all processes, that wait at this moment.
  std::uint64_t waiting_consumers() const {
    return core()->getters().count().load(std::memory_order_relaxed);
  }
  std::uint64_t waiting_producers() const {
    return core()->putters().count().load(std::memory_order_relaxed);
  }

  /// One item that was taken is dealt with. Throws `error` if called more often than items were put.
  void task_done() const { core()->task_done(); }
  /// Waits until every item ever put is dealt with.
  [[nodiscard]] detail::join_operation join() const { return detail::join_operation(core()); }

  friend bool operator==(const queue& a, const queue& b) { return a.core() == b.core(); }

  template <class Archive>
  void save(Archive& archive) const {
    detail::save_object(archive, core());
  }
  /// Throws `decode_error` if the bytes name no queue of such items.
  template <class Archive>
  void load(Archive& archive) {
    core_ = detail::load_object<detail::queue_core>(archive);
    if (core_->inline_bytes() != detail::queue_core::rounded_inline(detail::inline_bytes_of<T>)) {
      core_.reset();
      throw decode_error("a queue of other items");
    }
  }

 private:
  static std::shared_ptr<detail::queue_core> make(std::uint64_t capacity) {
    return detail::queue_core::create(family_memory::get(), capacity, detail::inline_bytes_of<T>);
  }

  const std::shared_ptr<detail::queue_core>& core() const {
    if (core_ == nullptr) {
      detail::require_no_mark(core_);
      core_ = make(1024);
    }
    if (core_->is_gone()) [[unlikely]]
      detail::shared_object::throw_gone();
    return core_;
  }

  template <class R>
  static task<> put_all(queue q, R range) {
    auto at = std::ranges::begin(range);
    const auto end = std::ranges::end(range);
    while (at != end) {
      if constexpr (detail::fits_slot<T> && std::ranges::contiguous_range<R>) {
        const auto left = static_cast<std::size_t>(end - at);
        const std::size_t put =
            q.core()->put_inline_many(reinterpret_cast<const std::byte*>(std::to_address(at)), sizeof(T),
                                      std::min<std::size_t>(left, detail::batch));
        at += static_cast<std::ptrdiff_t>(put);
        if (put == detail::batch) co_await yield();
        if (put != 0) continue;
      }
      co_await q.put(*at);
      ++at;
    }
  }

  static task<std::vector<T>> get_several(queue q, std::size_t most) {
    std::vector<T> items;
    if (most == 0) co_return items;
    items.push_back(co_await q.get());
    if constexpr (detail::fits_slot<T> && std::is_default_constructible_v<T>) {
      while (items.size() < most) {
        const std::size_t had = items.size();
        items.resize(std::min(most, had + detail::batch));
        const std::size_t got = q.core()->take_inline_many(reinterpret_cast<std::byte*>(items.data() + had),
                                                           sizeof(T), items.size() - had);
        const bool all = had + got == items.size();
        items.resize(had + got);
        if (!all) break;
      }
    } else {
      while (items.size() < most && q.size() != 0) {
        detail::got_message<T> message;
        if (message.take(*q.core()) != detail::take_outcome::done) break;
        items.push_back(message.value());
      }
    }
    co_return items;
  }

  mutable std::shared_ptr<detail::queue_core> core_;
};

}  // namespace brood
