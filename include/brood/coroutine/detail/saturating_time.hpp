// Durations of any unit as the library's own: rounded up, and never beyond what fits.
#pragma once

#include <chrono>

#include "brood/coroutine/executor.hpp"

namespace brood::detail {

/// `d` in the unit of `To`, rounded up; what is too long for `To` (or infinite) becomes `To::max()`, what is too short
/// `To::min()`, and no number zero. `std::chrono::ceil` overflows there: `ceil<nanoseconds>(hours::max())` is -1 h.
template <class To, class Rep, class Period>
constexpr To saturating_ceil(std::chrono::duration<Rep, Period> d) noexcept {
  using count = typename To::rep;
  const auto wanted =
      std::chrono::duration<long double, typename To::period>(d).count();  // has 64 bits: exact
  if (wanted >= static_cast<long double>(To::max().count())) return To::max();
  if (wanted <= static_cast<long double>(To::min().count())) return To::min();
  if (!(wanted == wanted)) return To::zero();
  const auto whole = static_cast<count>(wanted);
  return To(static_cast<long double>(whole) < wanted ? whole + 1 : whole);
}

/// `from + d`, at most the last point in time there is; `from` if `d` is not positive.
template <class Rep, class Period>
constexpr clock::time_point time_after(clock::time_point from,
                                       std::chrono::duration<Rep, Period> d) noexcept {
  const auto wait = saturating_ceil<clock::duration>(d);
  if (wait <= wait.zero()) return from;
  const bool fits = from < clock::time_point() || wait <= clock::time_point::max() - from;
  return fits ? from + wait : clock::time_point::max();
}

/// The same from now.
template <class Rep, class Period>
clock::time_point time_after(std::chrono::duration<Rep, Period> d) noexcept {
  return time_after(clock::now(), d);
}

/// A point in time of any unit as the clock's own.
template <class Duration>
constexpr clock::time_point saturating_time_point(std::chrono::time_point<clock, Duration> when) noexcept {
  return clock::time_point(saturating_ceil<clock::duration>(when.time_since_epoch()));
}

}  // namespace brood::detail
