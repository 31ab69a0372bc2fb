// Catch2, version 3 or 2, whichever is installed, and the names that differ between them.
#pragma once

#include <string>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#if defined(__GNUC__) && !defined(__clang__)
// Catch2 mentions each checked expression in __builtin_constant_p, which evaluates nothing, except that GCC 12 carries out
// a co_await there: the one that is checked would then be the second.
#undef CATCH_INTERNAL_IGNORE_BUT_WARN
#define CATCH_INTERNAL_IGNORE_BUT_WARN(...)
#endif

/// Matches a text that contains `part`: `CHECK_THROWS_WITH(f(), contains_text("closed"))`.
inline auto contains_text(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}
