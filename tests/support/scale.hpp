// How much of a thing a test asks for.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
inline constexpr bool sanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool sanitized = false;
#endif

/// The process model under test; see main.cpp.
inline std::string_view model_under_test() {
  const char* name = std::getenv("BROOD_TEST_MODEL");
  return name != nullptr ? name : "automatic";
}

inline bool every_child_is_a_fresh_image() { return model_under_test() == "exec"; }
/// Do children and their statuses survive the fork server?
inline bool children_are_siblings_of_the_server() { return model_under_test() != "relay"; }

/// `wanted` processes, or as many as this user may have besides a few: one takes up to four descriptors of its parent's.
inline int as_many_as_allowed(int wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < 1'000'000)
    wanted = std::min(wanted, static_cast<int>(limit.rlim_max / 5));
  if (::geteuid() != 0 && ::getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur < 1'000'000)
    wanted = std::min(wanted, static_cast<int>(limit.rlim_cur / 2));
  return std::max(wanted, 1);
}

/// `wanted` processes, or fewer where each is a fresh image or carries a sanitizer's shadow, or where no more are allowed.
inline int many(int wanted) {
  if (every_child_is_a_fresh_image()) wanted /= 10;
  if (sanitized) wanted /= 5;
  return as_many_as_allowed(wanted);
}
