// Catch2, version 3 or 2, whichever is installed, and the names that differ between them.
#pragma once

#include <string>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

// Name what is awaited before it is checked, as in `const auto item = co_await q.get(); CHECK(item == 7);`: Catch2 mentions
// a checked expression more than once, and GCC carries out a co_await at each of them.

/// Matches a text that contains `part`: `CHECK_THROWS_WITH(f(), contains_text("closed"))`.
inline auto contains_text(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}
