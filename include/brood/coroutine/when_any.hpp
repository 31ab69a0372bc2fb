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

/// What the operations of one race share.
template <class Result>
struct race_state {
  explicit race_state(task_scope* parent) noexcept : group(parent) {}
  Result result() {
    if (failure) std::rethrow_exception(failure);
    return std::move(*winner);
  }

  task_group group;
  std::optional<Result> winner;
  std::exception_ptr failure;
  bool decided = false;
};

/// How one of them ends; the first decides. `keep` makes the result of its value.
template <class Result, class Keep>
class racer {
 public:
  racer(race_state<Result>& race, Keep keep) noexcept : race_(race), keep_(keep) {}
  bool wanted() const noexcept { return !race_.decided; }  // what has not begun takes nothing
  template <class V>
  void value(V&& value) {
    if (!race_.decided) keep_(race_.winner, std::forward<V>(value));
    decide();
  }
  void failure(std::exception_ptr why) noexcept {
    if (!race_.decided) race_.failure = std::move(why);
    decide();
  }

 private:
  void decide() noexcept {
    race_.decided = true;
    race_.group.request_stop();
  }

  race_state<Result>& race_;
  Keep keep_;
};

/// What cannot enter, for want of memory, has failed: the others are awaited all the same.
template <class Result, class A, class Keep>
void enter_race(race_state<Result>& race, A operation, Keep keep) noexcept {
  racer<Result, Keep> end(race, keep);
  try {
    race.group.start(std::move(operation), end);
  } catch (...) {
    end.failure(std::current_exception());
  }
}

template <std::size_t... I, class... A>
task<std::variant<value_or_unit<await_result_t<A>>...>> race(std::index_sequence<I...>, A... operations) {
  using result = std::variant<value_or_unit<await_result_t<A>>...>;
  race_state<result> race(co_await current_scope());
  (enter_race(race, std::move(operations),
              [](std::optional<result>& winner, auto&& value) {
                winner.emplace(std::in_place_index<I>, std::forward<decltype(value)>(value));
              }),
   ...);
  co_await race.group.join();
  co_return race.result();
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
  detail::race_state<result> race(co_await detail::current_scope());
  for (std::size_t i = 0; i < operations.size(); ++i) {
    detail::enter_race(race, std::move(operations[i]), [i](std::optional<result>& winner, auto&& value) {
      winner.emplace(result{i, std::forward<decltype(value)>(value)});
    });
  }
  co_await race.group.join();
  co_return race.result();
}

}  // namespace brood
