// fail_point: where the refusal fuzz may say no. Every system call and every allocation in the arena passes one.
#pragma once

#include <initializer_list>

namespace brood::sys {

#ifdef BROOD_REFUSAL_FUZZ
/// Whether this use of `call` is refused; errno is then one of `errors`, which the system can give for it.
bool fail_point(const char* call, std::initializer_list<int> errors) noexcept;
#else
[[gnu::always_inline]] constexpr bool fail_point(const char*, std::initializer_list<int>) noexcept { return false; }
#endif

}  // namespace brood::sys
