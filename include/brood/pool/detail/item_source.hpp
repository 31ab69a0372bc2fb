// item_source: where a stream has its items from: a range, which is asked when a task is written, or an
// asynchronous generator, which a coroutine asks beforehand.
#pragma once

#include <cstdint>
#include <deque>
#include <exception>
#include <iterator>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include "brood/coroutine/generator.hpp"
#include "brood/pool/detail/item_codec.hpp"

namespace brood::detail {

template <class T>
T value_of_generator(const generator<T>&);

/// A `generator`, or what is derived from one, that may be moved from.
template <class Items>
concept item_generator =
    !std::is_lvalue_reference_v<Items> && requires(Items& items) { value_of_generator(items); };
template <class Items>
concept stream_items = std::ranges::input_range<Items> || item_generator<Items>;

/// What a stream keeps of its items.
template <class Items>
auto kept_items(Items&& items) {
  if constexpr (item_generator<Items>) {
    return generator<decltype(value_of_generator(items))>(std::move(items));
  } else {
    return std::views::all(std::forward<Items>(items));
  }
}

template <class View>
class item_source {
 public:
  static constexpr bool is_asynchronous = false;

  explicit item_source(View items)
      : items_(std::move(items)),
        at_(std::ranges::begin(items_)),
        end_(std::ranges::end(items_)),
        ended_(at_ == end_) {}

  /// Whether there is an item now, and whether there may be one later.
  bool has_some() const noexcept { return !ended_; }
  bool may_have_more() const noexcept { return !ended_; }
  /// Items that were taken and not written.
  static constexpr std::uint64_t ahead() noexcept { return 0; }
  /// Up to `most`; gives how many. What the items threw is the end of them and left in `failure`.
  template <auto F>
  std::uint64_t write(task_draft& draft, std::uint64_t first, std::uint64_t most, bytes& scratch,
                      std::exception_ptr& failure) {
    const auto count = write_items<F, false>(draft, first, most, at_, end_, scratch, failure);
    ended_ = failure != nullptr || at_ == end_;
    return count;
  }
  void end() noexcept { ended_ = true; }

 private:
  View items_;
  std::ranges::iterator_t<View> at_;
  std::ranges::sentinel_t<View> end_;
  bool ended_;
};

template <class T>
class item_source<generator<T>> {
 public:
  static constexpr bool is_asynchronous = true;

  explicit item_source(generator<T> items) noexcept : items_(std::move(items)) {}

  bool has_some() const noexcept { return !taken_.empty(); }
  bool may_have_more() const noexcept { return !ended_ || has_some(); }
  std::uint64_t ahead() const noexcept { return taken_.size(); }
  template <auto F>
  std::uint64_t write(task_draft& draft, std::uint64_t first, std::uint64_t most, bytes& scratch,
                      std::exception_ptr& failure) {
    auto at = taken_.begin();
    const auto count = write_items<F, false>(draft, first, most, at, taken_.end(), scratch, failure);
    taken_.erase(taken_.begin(), at);
    if (failure) end();
    return count;
  }
  void end() noexcept {
    ended_ = true;
    taken_.clear();
  }

  /// Awaits the generator, and keeps what it gives; false at its end.
  task<bool> take() {
    auto item = co_await items_->next();
    if (!item || ended_) {
      ended_ = true;
      co_return false;
    }
    taken_.push_back(std::move(*item));
    co_return true;
  }
  /// No more will be taken: the generator is destroyed.
  void close() noexcept {
    ended_ = true;
    items_.reset();
  }

 private:
  std::optional<generator<T>> items_;
  std::deque<T> taken_;
  bool ended_ = false;
};

}  // namespace brood::detail
