// when_all: waits for several operations at once.
#pragma once

#include <optional>
#include <tuple>
#include <vector>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/detail/task_group.hpp"

namespace brood {
namespace detail {

/// Where one of several operations leaves its result; the first failure asks the others to stop.
template <class R>
class gathered {
 public:
  gathered(task_group& group, std::optional<value_or_unit<R>>& value, std::exception_ptr& failure) noexcept
      : group_(group), value_(value), failure_(failure) {}
  bool wanted() const noexcept { return !failure_; }
  template <class V>
  void value(V&& result) {
    value_.emplace(std::forward<V>(result));
  }
  void failure(std::exception_ptr why) noexcept {
    if (!failure_) failure_ = std::move(why);
    group_.request_stop();
  }

 private:
  task_group& group_;
  std::optional<value_or_unit<R>>& value_;
  std::exception_ptr& failure_;
};

template <std::size_t... I, class... A>
task<std::tuple<value_or_unit<await_result_t<A>>...>> gather(std::index_sequence<I...>, A... operations) {
  task_group group(co_await current_scope());
  std::tuple<std::optional<value_or_unit<await_result_t<A>>>...> values;
  std::exception_ptr failure;
  try {
    (group.start(std::move(operations), gathered<await_result_t<A>>(group, std::get<I>(values), failure)),
     ...);
  } catch (...) {  // no memory for one more: those that were started are awaited all the same
    if (!failure) failure = std::current_exception();
    group.request_stop();
  }
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
  try {
    for (std::size_t i = 0; i < operations.size(); ++i) {
      group.start(std::move(operations[i]), detail::gathered<R>(group, values[i], failure));
    }
  } catch (...) {  // as above
    if (!failure) failure = std::current_exception();
    group.request_stop();
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
