// expect: GCC 12 destroys a lambda with owning captures in a co_await expression twice
#include <string>

#include "brood/coroutine/nursery.hpp"

brood::task<> f(std::string text) {
  co_await brood::with_nursery([text](brood::nursery&) -> brood::task<> { co_return; });
}
