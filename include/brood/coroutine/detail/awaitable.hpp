// What can be awaited, and what awaiting it gives.
#pragma once

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

namespace brood::detail {

template <class A>
concept has_member_co_await = requires(A&& a) { std::forward<A>(a).operator co_await(); };
template <class A>
concept has_free_co_await = requires(A&& a) { operator co_await(std::forward<A>(a)); };

template <class A>
decltype(auto) awaiter_of(A&& a) {
  if constexpr (has_member_co_await<A>) {
    return std::forward<A>(a).operator co_await();
  } else if constexpr (has_free_co_await<A>) {
    return operator co_await(std::forward<A>(a));
  } else {
    return std::forward<A>(a);
  }
}

template <class A>
concept awaiter = requires(std::remove_reference_t<A>& a) {
  { a.await_ready() } -> std::convertible_to<bool>;
  a.await_resume();
};

template <class A>
concept awaitable = has_member_co_await<A> || has_free_co_await<A> || awaiter<A>;

template <class A>
using await_result_t =
    decltype(std::declval<std::remove_reference_t<decltype(awaiter_of(std::declval<A>()))>&>()
                 .await_resume());

}  // namespace brood::detail
