// when_all: waits for several operations at once.
#pragma once

#include <optional>
#include <tuple>
#include <vector>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/task_group.hpp"

namespace brood {
namespace detail {

template <class R, class A>
task<> gather_one(task_group& group, A operation, std::optional<value_or_unit<R>>& value,
                  std::exception_ptr& failure) {
  if (failure) co_return;  // already decided: what has not begun takes nothing
  try {
    value.emplace(co_await await_value<R>(std::move(operation)));
  } catch (...) {
    if (!failure) failure = std::current_exception();
    group.request_stop();
  }
}

template <std::size_t... I, class... A>
task<std::tuple<value_or_unit<await_result_t<A>>...>> gather(std::index_sequence<I...>, A... operations) {
  task_group group(co_await current_scope());
  std::tuple<std::optional<value_or_unit<await_result_t<A>>>...> values;
  std::exception_ptr failure;
  (group.start(gather_one<await_result_t<A>>(group, std::move(operations), std::get<I>(values), failure)),
   ...);
  co_await group.join();
  if (failure) std::rethrow_exception(failure);
  co_return std::tuple<value_or_unit<await_result_t<A>>...>(std::move(*std::get<I>(values))...);
}

}  // namespace detail

/// Awaits all operations together; gives a tuple of their results, `std::monostate` for those that give nothing
/// and a `std::reference_wrapper` for those that give a reference.
/// The first failure cancels the rest, all are awaited, and it is rethrown.
/// Cancellation: cancels each of them. Lifetime: owns the operations.
template <class... A>
  requires(detail::awaitable<std::decay_t<A>> && ...)
auto when_all(A&&... operations) {
  detail::require_safe_temporary<A...>();
  return detail::gather(std::index_sequence_for<A...>(), std::forward<A>(operations)...);
}

/// The same for a vector of operations; gives a vector of their results in the same order, or nothing.
template <detail::awaitable A>
task<std::conditional_t<std::is_void_v<detail::await_result_t<A>>, void,
                        std::vector<detail::value_or_unit<detail::await_result_t<A>>>>>
when_all(std::vector<A> operations) {
  using R = detail::await_result_t<A>;
  detail::task_group group(co_await detail::current_scope());
  std::vector<std::optional<detail::value_or_unit<R>>> values(operations.size());
  std::exception_ptr failure;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    group.start(detail::gather_one<R>(group, std::move(operations[i]), values[i], failure));
  }
  co_await group.join();
  if (failure) std::rethrow_exception(failure);
  if constexpr (!std::is_void_v<R>) {
    std::vector<detail::value_or_unit<R>> results;
    results.reserve(values.size());
    for (auto& value : values) results.push_back(std::move(*value));
    co_return results;
  }
}

}  // namespace brood
