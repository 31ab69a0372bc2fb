// when_any: waits for the first of several operations.
#pragma once

#include <optional>
#include <stdexcept>
#include <variant>
#include <vector>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/task_group.hpp"

namespace brood {

/// What `when_any` over a vector gives: which operation ended first, and its result.
template <class T>
struct any_result {
  std::size_t index;
  T value;
};

namespace detail {

template <class R, class A, class OnValue>
task<> race_one(task_group& group, A operation, OnValue on_value, bool& decided,
                std::exception_ptr& failure) {
  if (decided) co_return;  // what has not begun takes nothing
  try {
    auto value = co_await await_value<R>(std::move(operation));
    if (!decided) on_value(std::move(value));
  } catch (...) {
    if (!decided) failure = std::current_exception();
  }
  decided = true;
  group.request_stop();
}

template <std::size_t... I, class... A>
task<std::variant<value_or_unit<await_result_t<A>>...>> race(std::index_sequence<I...>, A... operations) {
  using result = std::variant<value_or_unit<await_result_t<A>>...>;
  task_group group(co_await current_scope());
  std::optional<result> winner;
  bool decided = false;
  std::exception_ptr failure;
  (group.start(race_one<await_result_t<A>>(
       group, std::move(operations),
       [&winner](auto&& value) { winner.emplace(std::in_place_index<I>, std::move(value)); }, decided,
       failure)),
   ...);
  co_await group.join();
  if (failure) std::rethrow_exception(failure);
  co_return std::move(*winner);
}

}  // namespace detail

/// Awaits until the first operation has ended; gives a variant whose `index()` says which (`std::monostate` for
/// nothing), or throws what it threw. The others are cancelled and awaited. An operation of this library that is
/// cancelled has taken nothing, so no item is lost; a task of your own that takes something and then ends all the
/// same has its result dropped.
/// Cancellation: cancels each of them. Lifetime: owns the operations.
template <class... A>
  requires(sizeof...(A) > 0 && (detail::awaitable<std::decay_t<A>> && ...))
auto when_any(A&&... operations) {
  detail::require_safe_temporary<A...>();
  return detail::race(std::index_sequence_for<A...>(), std::forward<A>(operations)...);
}

/// The same for a vector. Throws `std::invalid_argument` if it is empty, as nothing could ever end first.
template <detail::awaitable A>
task<any_result<detail::value_or_unit<detail::await_result_t<A>>>> when_any(std::vector<A> operations) {
  using R = detail::await_result_t<A>;
  using result = any_result<detail::value_or_unit<R>>;
  if (operations.empty()) throw std::invalid_argument("brood::when_any: no operations to wait for");
  detail::task_group group(co_await detail::current_scope());
  std::optional<result> winner;
  bool decided = false;
  std::exception_ptr failure;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    auto on_value = [&winner, i](auto&& value) { winner.emplace(result{i, std::move(value)}); };
    group.start(detail::race_one<R>(group, std::move(operations[i]), on_value, decided, failure));
  }
  co_await group.join();
  if (failure) std::rethrow_exception(failure);
  co_return std::move(*winner);
}

}  // namespace brood
