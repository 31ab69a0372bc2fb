// Catch2, version 3 or 2, whichever is installed, and the names that differ between them.
#pragma once

#include <string>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#if defined(__GNUC__) && __GNUC__ < 13 && !defined(__clang__) && defined(CATCH_VERSION_MAJOR) && \
    CATCH_VERSION_MAJOR == 2
// Catch2 mentions each checked expression twice more where it is not to be evaluated, for the compiler's warnings. GCC 12
// carries out a co_await there all the same: this is Catch2's own definition without those two.
#undef INTERNAL_CATCH_TEST
#define INTERNAL_CATCH_TEST(macroName, resultDisposition, ...)                                               \
  do {                                                                                                       \
    Catch::AssertionHandler catchAssertionHandler(macroName##_catch_sr, CATCH_INTERNAL_LINEINFO,             \
                                                  CATCH_INTERNAL_STRINGIFY(__VA_ARGS__), resultDisposition); \
    INTERNAL_CATCH_TRY {                                                                                     \
      CATCH_INTERNAL_START_WARNINGS_SUPPRESSION                                                              \
      CATCH_INTERNAL_SUPPRESS_PARENTHESES_WARNINGS                                                           \
      catchAssertionHandler.handleExpr(Catch::Decomposer() <= __VA_ARGS__);                                  \
      CATCH_INTERNAL_STOP_WARNINGS_SUPPRESSION                                                               \
    }                                                                                                        \
    INTERNAL_CATCH_CATCH(catchAssertionHandler)                                                              \
    INTERNAL_CATCH_REACT(catchAssertionHandler)                                                              \
  } while (false)
#endif

/// Matches a text that contains `part`: `CHECK_THROWS_WITH(f(), contains_text("closed"))`.
inline auto contains_text(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}
