// The symbol that programs need which are built with or without libstdc++'s debug mode as this library is.
#include "brood/runtime/runtime.hpp"

namespace brood::detail {

#ifdef _GLIBCXX_DEBUG
void library_is_built_with_GLIBCXX_DEBUG() noexcept {}
#else
void library_is_built_without_GLIBCXX_DEBUG() noexcept {}
#endif

}  // namespace brood::detail
