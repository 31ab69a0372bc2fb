// How much of a thing a test asks for.
#pragma once

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

/// `wanted` processes, or fewer where each is a fresh image or carries a sanitizer's shadow.
inline int many(int wanted) {
  if (every_child_is_a_fresh_image()) wanted /= 10;
  if (sanitized) wanted /= 5;
  return wanted > 0 ? wanted : 1;
}
