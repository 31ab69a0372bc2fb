// retry: an operation that may fail is tried again, after pauses that grow.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <random>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "brood/coroutine/detail/compiler_guard.hpp"
#include "brood/coroutine/error.hpp"
#include "brood/coroutine/sleep.hpp"
#include "brood/coroutine/task.hpp"

namespace brood {

/// How often something is tried, and how long the pauses are.
struct retry_policy {
  std::size_t attempts = 5;  ///< in all, the first included
  clock::duration first_pause = std::chrono::milliseconds(100);
  double factor = 2;  ///< each pause is so much longer than the one before
  clock::duration longest_pause = std::chrono::seconds(30);
  double jitter =
      0.5;  ///< 0 to 1: so large a part of each pause is left to chance, so that many do not come at once
};

namespace detail {

inline clock::duration with_jitter(clock::duration pause, double jitter) {
  thread_local std::minstd_rand chance(
      static_cast<std::minstd_rand::result_type>(clock::now().time_since_epoch().count()));
  const double part = 1 - jitter * std::uniform_real_distribution<double>(0, 1)(chance);
  return saturating_ceil<clock::duration>(pause * part);
}

struct any_failure {
  constexpr bool operator()(const std::exception_ptr&) const noexcept { return true; }
};

template <class Attempt, class Worth>
task<await_result_t<std::invoke_result_t<Attempt&>>> try_again(retry_policy policy, Attempt attempt,
                                                               Worth worth) {
  if (policy.attempts == 0)
    throw std::invalid_argument("brood::retry: no attempts, so there is nothing to give");
  clock::duration pause = std::min(policy.first_pause, policy.longest_pause);
  for (std::size_t tried = 1;; ++tried) {
    std::exception_ptr failure;
    try {
      co_return co_await attempt();
    } catch (const cancelled&) {
      throw;
    } catch (...) {
      failure = std::current_exception();
    }
    if (tried == policy.attempts || !worth(std::as_const(failure))) std::rethrow_exception(failure);
    co_await sleep_for(with_jitter(pause, policy.jitter));
    pause = std::min(saturating_ceil<clock::duration>(pause * policy.factor), policy.longest_pause);
  }
}

}  // namespace detail

/// Awaits what `attempt()` gives; if that throws, waits and calls it again. Gives the first result, or throws the error of
/// the last attempt. Throws `std::invalid_argument` for a policy without attempts.
/// Cancellation: `cancelled` is not tried again; a pause ends at once. Lifetime: owns `attempt`.
template <class Attempt>
  requires std::invocable<std::decay_t<Attempt>&>
[[nodiscard]] auto retry(const retry_policy& policy, Attempt&& attempt) {
  detail::require_safe_function<Attempt>();
  return detail::try_again<std::decay_t<Attempt>>(policy, std::forward<Attempt>(attempt),
                                                  detail::any_failure());
}

/// The same, but only what is worth it is tried again: `worth(const std::exception_ptr&)`.
template <class Attempt, class Worth>
  requires std::invocable<std::decay_t<Attempt>&> &&
           std::predicate<std::decay_t<Worth>&, const std::exception_ptr&>
[[nodiscard]] auto retry(const retry_policy& policy, Attempt&& attempt, Worth&& worth) {
  detail::require_safe_function<Attempt, Worth>();
  return detail::try_again<std::decay_t<Attempt>, std::decay_t<Worth>>(policy, std::forward<Attempt>(attempt),
                                                                       std::forward<Worth>(worth));
}

}  // namespace brood
