// queue<T>: messages between any processes of a cluster.
#pragma once

#include <concepts>
#include <limits>
#include <ranges>
#include <stdexcept>
#include <utility>

#include "brood/cluster/detail/membership.hpp"
#include "brood/cluster/error.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"

namespace brood::cluster {

namespace detail {

/// What cannot be decoded is settled, so that it does not come back for ever.
template <class T>
T decode_or_settle(const queue_core& core, const leased_item& item) {
  try {
    return decode<T>(item.value);
  } catch (...) {
    core.settle_later({item.id}, item.epoch);
    throw;
  }
}

}  // namespace detail

/// A message on lease: until `done` it belongs to the queue. If this is dropped it goes back to its place, and if its
/// process is not heard of for a lease, another gets it. Moves only.
template <class T>
class lease {
 public:
  lease(std::shared_ptr<const detail::queue_core> core, detail::leased_item item)
      : core_(std::move(core)), item_(std::move(item)), value_(detail::decode_or_settle<T>(*core_, item_)) {}
  lease(lease&&) noexcept = default;
  lease& operator=(lease&& other) noexcept {
    lease taken(std::move(other));
    std::swap(core_, taken.core_);
    std::swap(item_, taken.item_);
    std::swap(value_, taken.value_);
    return *this;
  }
  ~lease() {
    if (core_ != nullptr) core_->give_back_later({item_.id}, item_.epoch);
  }

  T& operator*() noexcept { return value_; }
  T* operator->() noexcept { return &value_; }
  /// How many sessions were lost with it: more than a few, and it may be what ends them.
  std::uint32_t losses() const noexcept { return item_.losses; }
  /// Whether it is already known to be lost.
  bool is_lost() const { return core_ == nullptr || !core_->is_ours(item_.epoch); }

  /// The message is dealt with. Throws `lease_lost` if that is known here, and `std::logic_error` the second time. Who
  /// must know that nobody else gets it awaits `settle`.
  void done() {
    const auto core = taken();
    if (!core->is_ours(item_.epoch)) throw lease_lost();
    core->settle_later({item_.id}, item_.epoch);
  }
  /// The same; waits until the engine has it in its books. Throws `lease_lost` if another process has the message by now.
  [[nodiscard]] task<> settle() { return settle_with(taken(), item_.id, item_.epoch); }

 private:
  std::shared_ptr<const detail::queue_core> taken() {
    if (core_ == nullptr) throw std::logic_error("brood::cluster::lease: done was called before");
    return std::exchange(core_, nullptr);
  }
  static task<> settle_with(std::shared_ptr<const detail::queue_core> core, std::string id,
                            std::string epoch) {
    std::vector<std::string> ids(1, std::move(id));
    const bool ours = co_await detail::queue_core::settle(std::move(core), std::move(ids), std::move(epoch));
    if (!ours) throw lease_lost();
  }

  std::shared_ptr<const detail::queue_core> core_;
  detail::leased_item item_;
  T value_;
};

/// A first-in, first-out queue in the engine. A small handle: copies name the same queue, and so does every handle made
/// with the same name in the cluster. It outlives them, until `destroy`.
/// Order: as the engine got the items; one that comes back has its old place.
/// Deaths: a `put` happens once, whatever breaks meanwhile. An item that was taken comes back if its process is lost
/// before it was done, so it is delivered at least once.
/// Cancellation: a `put` may have happened; nothing was taken. Thread: the one that runs this process's loop.
/// All throw `engine_unavailable` and `engine_refused`.
template <class T>
class queue {
 public:
  explicit queue(std::shared_ptr<const detail::queue_core> core) noexcept : core_(std::move(core)) {}

  /// Waits while the queue is full. Throws `closed`. The value is encoded here, so it need not live on.
  template <class U = T>
    requires std::convertible_to<U&&, const T&>
  [[nodiscard]] task<> put(U&& value) const {
    brood::detail::require_safe_temporary<U>();
    return put_encoded(core_, encoded(value));
  }
  /// False if it is full. Throws `closed`.
  template <class U = T>
    requires std::convertible_to<U&&, const T&>
  [[nodiscard]] task<bool> try_put(U&& value) const {
    brood::detail::require_safe_temporary<U>();
    return try_put_encoded(core_, encoded(value));
  }
  /// In order, by the batch, waiting as often as it is full.
  template <std::ranges::input_range R>
    requires std::convertible_to<std::ranges::range_reference_t<R>, const T&>
  [[nodiscard]] task<> put_many(R&& range) const {
    brood::detail::require_safe_temporary<R>();
    std::vector<bytes> values;
    for (const T& value : range) values.push_back(encode(value));
    return put_encoded(core_, std::move(values));
  }

  /// Waits while the queue is empty. Throws `closed` when it is closed and nothing is in it or on lease.
  [[nodiscard]] task<T> get() const { return get_one(core_); }
  /// The same, but an empty optional instead of `closed`.
  [[nodiscard]] task<std::optional<T>> next() const { return next_one(core_, true); }
  /// Empty if the queue is. Throws `closed`.
  [[nodiscard]] task<std::optional<T>> try_get() const { return next_one(core_, false); }
  /// Waits for one item, then gives it and as many more as are there, at most `most` and 1,000. If one of them
  /// cannot be decoded, that one is dropped, the others go back to their places, and what its decoding threw is thrown.
  [[nodiscard]] task<std::vector<T>> get_many(std::size_t most) const { return get_several(core_, most); }

  /// As `get`, for an item that must not be lost.
  [[nodiscard]] task<lease<T>> get_leased() const { return lease_one(core_); }
  [[nodiscard]] task<std::optional<lease<T>>> next_leased() const { return next_lease(core_); }

  /// No more puts; what is in the queue can still be taken. Closing twice is fine.
  [[nodiscard]] task<> close() const { return detail::queue_core::close(core_); }
  /// Waits until every item ever put is done.
  [[nodiscard]] task<> join() const { return detail::queue_core::join(core_); }
  /// Of this moment: how many items can be taken, how many are on lease, whether it is closed.
  [[nodiscard]] task<detail::queue_state> state() const { return detail::queue_core::state(core_); }
  /// Drops what is in it, and that it was closed. Leases of it are lost.
  [[nodiscard]] task<> destroy() const { return detail::queue_core::destroy(core_); }
  /// The largest number there is if unbounded.
  std::uint64_t capacity() const noexcept {
    return core_->capacity() == 0 ? std::numeric_limits<std::uint64_t>::max() : core_->capacity();
  }

 private:
  using core_pointer = std::shared_ptr<const detail::queue_core>;

  static std::vector<bytes> encoded(const T& value) {
    std::vector<bytes> values;
    values.push_back(encode(value));
    return values;
  }
  static task<> put_encoded(core_pointer core, std::vector<bytes> values) {
    co_await detail::queue_core::put(std::move(core), std::move(values), true);
  }
  static task<bool> try_put_encoded(core_pointer core, std::vector<bytes> values) {
    const std::size_t put = co_await detail::queue_core::put(std::move(core), std::move(values), false);
    co_return put != 0;
  }
  static task<T> get_one(core_pointer core) {
    auto item = co_await next_one(std::move(core), true);
    if (!item) throw closed("the queue is closed");
    co_return std::move(*item);
  }
  static task<std::vector<detail::leased_item>> take_or_end(core_pointer core, std::size_t most, bool wait) {
    try {
      co_return co_await detail::queue_core::take(core, most, wait);
    } catch (const closed&) {
      if (!wait) throw;
    }
    co_return std::vector<detail::leased_item>();
  }
  static task<std::optional<T>> next_one(core_pointer core, bool wait) {
    auto items = co_await take_or_end(core, 1, wait);
    if (items.empty()) co_return std::nullopt;
    auto values = taken(*core, std::move(items));
    co_return std::move(values.front());
  }
  static task<std::vector<T>> get_several(core_pointer core, std::size_t most) {
    if (most == 0) co_return std::vector<T>();
    auto items = co_await detail::queue_core::take(core, most, true);
    co_return taken(*core, std::move(items));
  }
  static std::vector<T> taken(const detail::queue_core& core, std::vector<detail::leased_item> items) {
    std::vector<T> values;
    const auto ids_without = [&](std::size_t left_out) {
      std::vector<std::string> ids;
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (i != left_out) ids.push_back(items[i].id);
      }
      return ids;
    };
    for (std::size_t i = 0; i < items.size(); ++i) {
      try {
        values.push_back(detail::decode_or_settle<T>(core, items[i]));
      } catch (...) {
        if (items.size() > 1) core.give_back_later(ids_without(i), items.front().epoch);
        throw;
      }
    }
    core.settle_later(ids_without(items.size()), items.front().epoch);
    return values;
  }
  static task<lease<T>> lease_one(core_pointer core) {
    auto items = co_await detail::queue_core::take(core, 1, true);
    co_return lease<T>(std::move(core), std::move(items.front()));
  }
  static task<std::optional<lease<T>>> next_lease(core_pointer core) {
    auto items = co_await take_or_end(core, 1, true);
    if (items.empty()) co_return std::nullopt;
    co_return std::optional<lease<T>>(std::in_place, std::move(core), std::move(items.front()));
  }

  core_pointer core_;
};

}  // namespace brood::cluster
