// BROOD_API: marks what programs may link to. The shared library hides everything else (-fvisibility=hidden).
#pragma once

/// On classes with members that are defined in the library, on exceptions, whose type must be one for both sides, and on
/// functions that are not inline; also on those of `detail` that templates call. Templates need no mark.
/// In this spelling, as GCC 12 takes no other beside `[[nodiscard]]`.
#define BROOD_API [[gnu::visibility("default")]]
