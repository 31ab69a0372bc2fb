// call: one call of a function on some host: its setters, and the future of one that runs meanwhile.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "brood/cluster/detail/registry.hpp"
#include "brood/cluster/detail/task_table.hpp"
#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/saturating_time.hpp"

namespace brood::cluster {

namespace detail {

/// The arguments of one call, from an item or, starred, from a tuple.
template <auto F, bool Star, class Item>
bytes arguments_of(Item&& item) {
  using function = brood::detail::child_function<F>;
  if constexpr (Star) {
    return std::apply([](auto&&... each) { return function::encode_arguments(each...); },
                      std::forward<Item>(item));
  } else {
    return function::encode_arguments(std::forward<Item>(item));
  }
}

template <class R>
task<R> await_call(membership_pointer of, chunk_items items, std::shared_ptr<call_results<R>> results) {
  const job_guard guard(of, results);
  give(of, std::move(items), true);
  co_await results->changed.wait();
  if constexpr (std::is_void_v<R>) {
    results->result.value();
  } else {
    co_return std::move(results->result).value();
  }
}

}  // namespace detail

/// The setters that every kind of call has.
template <class Self>
class call_setters {
 public:
  /// An item that runs longer is ended by SIGKILL, with its worker; it counts as lost with that (`child_died`).
  template <class Rep, class Period>
  Self&& deadline(std::chrono::duration<Rep, Period> d) && {
    const auto whole = brood::detail::saturating_ceil<std::chrono::nanoseconds>(d);
    settings_.deadline = std::max(std::chrono::nanoseconds(1), whole);  // 0 stands for none
    return static_cast<Self&&>(*this);
  }
  /// An item whose worker dies is tried again, up to `n` times, wherever that is.
  Self&& retries(std::uint32_t n) && {
    settings_.retries = n;
    return static_cast<Self&&>(*this);
  }
  /// So many hosts may be lost while they have the item; after that it fails with `host_lost`. Default 3.
  Self&& host_losses(std::uint32_t n) && {
    settings_.host_losses = n;
    return static_cast<Self&&>(*this);
  }

 protected:
  detail::task_settings settings_;
};

/// A call that runs meanwhile; see `pool::submit`. Copies name the same call. Dropping it does not end the call.
template <class R>
class [[nodiscard]] future {
 public:
  future(detail::membership_pointer of, std::shared_ptr<detail::call_results<R>> results)
      : of_(std::move(of)), results_(std::move(results)) {}

  /// Waits for the end; any number of times if `R` can be copied. Cancellation of the waiting: the call goes on.
  auto operator co_await() const { return brood::detail::owned_task<R>(wait(results_)); }
  bool is_ready() const noexcept { return results_->over(); }
  /// It never begins, or if it runs its worker is killed. Those who wait get `cancelled`. False if it had ended.
  bool cancel() const {
    if (results_->over()) return false;
    detail::give_up(of_, results_);
    results_->fail(std::make_exception_ptr(cancelled()));
    return true;
  }

 private:
  static task<R> wait(std::shared_ptr<detail::call_results<R>> results) {
    co_await results->changed.wait();
    if constexpr (std::is_void_v<R>) {
      results->result.value();
    } else {
      co_return results->result.value();
    }
  }

  detail::membership_pointer of_;
  std::shared_ptr<detail::call_results<R>> results_;
};

/// One call; see `pool::apply`.
template <class R>
class [[nodiscard("nothing runs until this is awaited")]] apply_operation
    : public call_setters<apply_operation<R>> {
 public:
  apply_operation(detail::membership_pointer of, std::uint64_t function, bytes arguments)
      : of_(std::move(of)), function_(function), arguments_(std::move(arguments)) {}

  auto operator co_await() && {
    auto results = std::make_shared<detail::call_results<R>>();
    detail::chunk_items items;
    fill(items, results);
    return brood::detail::owned_task<R>(
        detail::await_call<R>(std::move(of_), std::move(items), std::move(results)));
  }
  /// Begins without being awaited.
  future<R> start() && {
    auto results = std::make_shared<detail::call_results<R>>();
    detail::chunk_items items;
    fill(items, results);
    detail::give(of_, std::move(items), true);
    return future<R>(of_, std::move(results));
  }

 private:
  void fill(detail::chunk_items& items, const std::shared_ptr<detail::call_results<R>>& results) {
    items.function = function_;
    items.settings = this->settings_;
    items.job = results;
    items.arguments.push_back(std::move(arguments_));
  }

  detail::membership_pointer of_;
  std::uint64_t function_;
  bytes arguments_;
};

}  // namespace brood::cluster
