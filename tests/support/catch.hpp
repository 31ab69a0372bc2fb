// Catch2, version 3 or 2, whichever is installed, and the names that differ between them.
//
// `CHECK((co_await text() == "a"))`, with two pairs of parentheses, where the left side is no plain number: Catch2 keeps a
// reference to it, and GCC 12 destroys what a co_await gave before Catch2 has looked.
#pragma once

#include <string>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

/// Matches a text that contains `part`: `CHECK_THROWS_WITH(f(), contains_text("closed"))`.
inline auto contains_text(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}
