// managed::queue: a queue in a manager, for processes that are no family. (`brood::queue` is far faster within one.)
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "brood/manager/detail/hold.hpp"

namespace brood::managed {

template <class T>
class queue;

/// An item on lease. Until `done` it belongs to the queue: if this is dropped, or its process dies or loses its
/// connection, it goes back to the front, and another consumer gets it. Moves only.
template <class T>
class lease : public hold {
  using method = remote::queue_method;

 public:
  lease(lease&&) noexcept = default;
  lease& operator=(lease&& other) noexcept {
    give_back(method::give_back);
    hold::operator=(std::move(other));
    value_ = std::move(other.value_);
    return *this;
  }
  ~lease() { give_back(method::give_back); }

  T& operator*() noexcept { return value_; }
  T* operator->() noexcept { return &value_; }
  /// The item is dealt with; counts as `task_done`. Once only: throws `std::logic_error` the second time, `disconnected`
  /// if the connection was lost, as the item has gone back then.
  void done() {
    if (object_ == nullptr) throw std::logic_error("brood: an item that is not on lease");
    if (!is_held()) throw disconnected("brood: the item has gone back, as the connection was lost");
    give_back(method::settle);
  }

 private:
  friend class queue<T>;
  friend struct remote::to_optional_guard<lease>;
  lease(remote::object_pointer object, std::uint64_t id, T value)
      : hold(std::move(object), id), value_(std::move(value)) {}
  static lease read(remote::answer_reader& from) {
    const std::uint64_t id = from.count();
    return lease(from.target(), id, from.value<T>());
  }

  T value_;
};

/// First in, first out for each producer. Closed as `brood::queue`. Cancellation: what was taken goes back to the front.
template <class T>
class queue : public remote::proxy_of<queue<T>> {
  using method = remote::queue_method;

 public:
  using remote::proxy_of<queue>::proxy_of;
  static std::uint64_t type() { return remote::type_key<T>(remote::kind::queue); }

  /// Waits while it is full. Throws `closed`.
  template <remote::argument_for<T> A = T>
  auto put(A&& item) const {
    return this->template asked_with<T>(remote::to_nothing(), method::put, std::forward<A>(item));
  }
  /// False if it is full.
  template <remote::argument_for<T> A = T>
  auto try_put(A&& item) const {
    return this->template asked_with<T>(remote::to_flag(), method::try_put, std::forward<A>(item));
  }
  /// Waits for an item. Throws `closed` once it is closed and drained: nothing in it and nothing on lease.
  auto get() const { return remote_call(this->about(method::get), to_item(), &put_back); }
  /// The same, but empty instead of `closed`.
  auto next() const { return remote_call(this->about(method::get), remote::to_optional<T>(), &put_back); }
  /// Empty if there is no item now. Throws `closed`.
  auto try_get() const {
    return remote_call(this->about(method::try_get), remote::to_optional<T>(), &put_back);
  }
  /// Waits for one, then takes up to `most`. Nothing once it is closed and drained.
  auto get_many(std::size_t most) const {
    remote::request what = this->about(method::get_many);
    what.count(most);
    return remote_call(std::move(what), to_items(), &put_many_back);
  }

  /// As `get`, for an item that must not be lost: a `lease`.
  auto get_leased() const {
    return remote_call(this->about(method::get_leased), leased(), &remote::give_back<perhaps_leased>);
  }
  /// The same, but empty instead of `closed`.
  auto next_leased() const {
    return remote_call(this->about(method::get_leased), perhaps_leased(), &remote::give_back<perhaps_leased>);
  }

  /// Items on lease are not counted.
  auto size() const { return this->asked(remote::to_size(), method::size); }
  auto empty() const { return this->asked(is_zero(), method::size); }
  /// 0: no bound.
  auto capacity() const { return this->asked(remote::to_size(), method::capacity); }
  /// Nothing more goes in; what is in can be taken. Closing twice is fine.
  auto close() const { return this->asked(remote::to_nothing(), method::close); }
  /// As Python's: an item is done with. Throws `remote_error` if there were fewer items.
  auto task_done() const { return this->asked(remote::to_nothing(), method::task_done); }
  /// Waits until every item that was put is done with.
  auto join() const { return this->asked(remote::to_nothing(), method::join); }

 private:
  struct to_item {
    T operator()(remote::answer_reader& from) const {
      if (!from.flag()) throw closed("the queue is closed");
      return from.value<T>();
    }
  };
  struct to_items {
    std::vector<T> operator()(remote::answer_reader& from) const {
      return from.flag() ? from.values<T>() : std::vector<T>();
    }
  };
  using perhaps_leased = remote::to_optional_guard<lease<T>>;
  struct leased {
    lease<T> operator()(remote::answer_reader& from) const {
      if (!from.flag()) throw closed("the queue is closed");
      return lease<T>::read(from);
    }
  };
  struct is_zero {
    bool operator()(remote::answer_reader& from) const { return from.count() == 0; }
  };

  static void put_back(remote::answer_reader& from) {
    if (from.flag()) return_items(from, 1);
  }
  static void put_many_back(remote::answer_reader& from) {
    if (!from.flag()) return;
    const std::size_t count = from.size();
    return_items(from, count);
  }
  static void return_items(remote::answer_reader& from, std::size_t count) {
    std::vector<T> items;
    for (std::size_t i = 0; i < count; ++i) items.push_back(from.value<T>());
    for (; !items.empty(); items.pop_back()) {
      remote::request back(from.target(), method::put_back);
      back.value(items.back());
      remote::post(back);
    }
  }
};

}  // namespace brood::managed
