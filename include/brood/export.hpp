// BROOD_API: marks what programs may link to. The shared library hides everything else (-fvisibility=hidden).
// And what every header of the library needs of the compiler.
#pragma once

#if __cplusplus < 202002L
#error "brood needs C++20: compile with -std=c++20 or later"
#endif
#ifndef __cpp_exceptions
#error "brood reports errors by exceptions: compile without -fno-exceptions"
#endif
#ifndef __cpp_rtti
#error "brood names the types of exceptions: compile without -fno-rtti"
#endif

/// On classes with members that are defined in the library, on exceptions, whose type must be one for both sides, and on
/// functions that are not inline; also on those of `detail` that templates call. Templates need no mark.
/// In this spelling, as GCC 12 takes no other beside `[[nodiscard]]`.
#define BROOD_API [[gnu::visibility("default")]]
