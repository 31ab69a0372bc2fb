// What is alike within one machine and across several, for functions that are to work with either.
#pragma once

#include <concepts>
#include <optional>
#include <vector>

#include "brood/coroutine/detail/awaitable.hpp"

namespace brood {

/// `brood::queue<T>` and `brood::cluster::queue<T>`.
template <class Q, class T>
concept is_queue_of = std::copyable<Q> && requires(const Q& q, const T& value, std::vector<T>& values) {
  requires brood::detail::awaitable<decltype(q.put(value))>;
  requires brood::detail::awaitable<decltype(q.put_many(values))>;
  requires std::same_as<brood::detail::await_result_t<decltype(q.get())>, T>;
  requires std::same_as<brood::detail::await_result_t<decltype(q.next())>, std::optional<T>>;
  requires std::same_as<brood::detail::await_result_t<decltype(q.get_many(1))>, std::vector<T>>;
  requires brood::detail::awaitable<decltype(q.join())>;
  { *std::declval<brood::detail::await_result_t<decltype(q.get_leased())>&>() } -> std::convertible_to<T&>;
  std::declval<brood::detail::await_result_t<decltype(q.get_leased())>&>().done();
};

/// `brood::lock` and `brood::cluster::lock`.
template <class L>
concept is_lock = std::copyable<L> && requires(const L& l) {
  std::declval<brood::detail::await_result_t<decltype(l.acquire())>&>().release();
  { std::declval<brood::detail::await_result_t<decltype(l.acquire())>&>().abandoned() } -> std::same_as<bool>;
};

}  // namespace brood
