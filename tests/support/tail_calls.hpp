// Whether a coroutine that goes on in another one leaves the stack as it was.
#pragma once

// GCC makes that a tail call only when it optimises, and not with AddressSanitizer: tests that go on from one
// ready coroutine to the next very often do so less often there.
#if defined(__clang__) || (defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__))
inline constexpr bool transfer_is_a_tail_call = true;
#else
inline constexpr bool transfer_is_a_tail_call = false;
#endif
